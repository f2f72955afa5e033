"""List the servers to compare: command line and protocol, one worker, default settings."""

from dataclasses import dataclass, field

from benchmarks.serving import protocols
from benchmarks.serving.protocols import Protocol

PIPELINE, REFERENCE, NOTHING = "the Pipeline", "50 words", "none"
_SERVERS = "benchmarks.serving.servers"


@dataclass(frozen=True)
class Contender:
    """A server. The first word of ``command`` is a Python module.

    ``{http}``, ``{grpc}`` and ``{metrics}`` are ports, ``{model}`` is the model's folder.
    ``requirements`` names the lock of packages that conflict with ours.
    """

    name: str
    description: str
    command: str
    protocol: Protocol
    model: str = PIPELINE
    requirements: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


# gunicorn's default worker blocks on a connection without a request
_GUNICORN = (
    "gunicorn --workers 1 --worker-class gthread --threads 1 --bind 127.0.0.1:{http}"
    f" {_SERVERS}.flask_form:app"
)
_KSERVE = f"{_SERVERS}.kserve_plain --http_port {{http}} --grpc_port {{grpc}}"
_QUIET = "--configure_logging false --enable_latency_logging false"
_FASTAPI = f"uvicorn {_SERVERS}.fastapi_plain:app --port {{http}} --no-access-log"
_MLSERVER = {
    "MLSERVER_MODEL_NAME": "sentiment",
    "MLSERVER_MODEL_IMPLEMENTATION": f"{_SERVERS}.mlserver_runtime.Sentiment",
    "MLSERVER_HTTP_PORT": "{http}",
    "MLSERVER_GRPC_PORT": "{grpc}",
    "MLSERVER_METRICS_PORT": "{metrics}",
    "MLSERVER_PARALLEL_WORKERS": "0",  # by default one more process
    "MLSERVER_DEBUG": "false",  # as its documentation recommends for production
}

CONTENDERS = [
    Contender(
        "ours",
        "ours: `python -m serving`",
        "serving --model_uri {model} --http_port {http} --grpc_port {grpc}",
        protocols.OURS,
    ),
    Contender(
        "ours-capture",
        "ours, every request kept: `--capture`",
        "serving --model_uri {model} --http_port {http} --grpc_port {grpc} --capture captured",
        protocols.OURS,
    ),
    Contender(
        "reference",
        "reference: Flask, gunicorn; its own model",
        _GUNICORN,
        protocols.FORM,
        REFERENCE,
    ),
    Contender(
        "reference-pipeline", "reference: Flask, gunicorn; the Pipeline", _GUNICORN, protocols.FORM
    ),
    Contender("fastapi", "FastAPI", _FASTAPI, protocols.TEXTS),
    Contender("kserve", "KServe, a plain custom model", _KSERVE, protocols.KSERVE),
    Contender(
        "mlserver",
        "MLServer",
        "mlserver.cli.main start .",
        protocols.MLSERVER,
        requirements="mlserver",
        environment=_MLSERVER,
    ),
    Contender(
        "litserve",
        "LitServe",
        f"{_SERVERS}.litserve_api {{http}}",
        protocols.TEXTS,
        requirements="litserve",
    ),
    Contender(
        "mlflow",
        "`mlflow models serve`",
        "mlflow models serve --model-uri {model} --env-manager local --workers 1"
        " --host 127.0.0.1 --port {http}",
        protocols.MLFLOW,
    ),
    Contender(
        "bentoml",
        "BentoML",
        f"bentoml serve {_SERVERS}.bentoml_service:Sentiment --port {{http}}",
        protocols.BENTOML,
        requirements="bentoml",
    ),
    Contender("fastapi-alone", "FastAPI, no model", _FASTAPI, protocols.TEXTS, NOTHING),
    Contender(
        "kserve-quiet-alone",
        "KServe, no model, no line per request",
        f"{_KSERVE} {_QUIET}",
        protocols.KSERVE,
        NOTHING,
    ),
    Contender("kserve-alone", "KServe, no model", _KSERVE, protocols.KSERVE, NOTHING),
    Contender("flask-alone", "Flask, gunicorn, no model", _GUNICORN, protocols.FORM, NOTHING),
]
