"""Write the dashboards as JSON for Grafana."""

import argparse
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from components import cli
from components.io.files import replacing
from monitoring.dashboards import model, pipeline, service
from monitoring.dashboards.board import MODEL, PIPELINE, SERVICE, dashboard
from monitoring.dashboards.queries import OF_SERVICE
from monitoring.settings import EXPORTER_JOB, PARAMS, PREDICTORS, ROOT, drift_limits, min_accuracy

OUTPUT = Path("manifests/monitoring/dashboards")
DOCS = "https://github.com/example/sentiment-mlops/blob/main/docs"
PREDICTOR_VARIABLES = {
    "namespace": f"label_values(up{{{PREDICTORS}}}, namespace)",
    "service": f'label_values(up{{{PREDICTORS}, namespace="$namespace"}}, service)',
    "predictor": f"label_values(up{{{PREDICTORS}, {OF_SERVICE}}}, predictor)",
}
_MODELS = f'pipeline_version_count{{job="{EXPORTER_JOB}"'
EXPORTER_VARIABLES = {
    "namespace": f"label_values({_MODELS}}}, namespace)",
    "service": f'label_values({_MODELS}, namespace="$namespace"}}, service)',
}


def dashboards(docs: str, max_psi: float, floor: float) -> dict[str, Dashboard]:
    """Return the dashboards by the names of their files.

    ``docs`` is the address of this repository's docs, ``max_psi`` the drift threshold, and
    ``floor`` that of the live accuracy.
    """
    return {
        "service": dashboard(
            SERVICE,
            "Sentiment: service",
            "Traffic, errors, latency and saturation of the predictors.",
            service.panels(),
            PREDICTOR_VARIABLES,
            docs,
        ),
        "model": dashboard(
            MODEL,
            "Sentiment: model",
            "Requests to the model and its answers, their accuracy, drift, and a canary beside the"
            " stable predictor.",
            model.panels(max_psi, floor),
            PREDICTOR_VARIABLES,
            docs,
        ),
        "pipeline": dashboard(
            PIPELINE,
            "Sentiment: pipelines",
            "Runs of the pipelines, and the models that they registered.",
            pipeline.panels(),
            EXPORTER_VARIABLES,
            docs,
        ),
    }


def write(folder: Path, max_psi: float, floor: float, docs: str = DOCS) -> None:
    for name, board in dashboards(docs, max_psi, floor).items():
        path = folder / f"{name}.json"
        with replacing(path) as partial:
            partial.write_text(json.dumps(board, cls=JSONEncoder, indent=1, sort_keys=True) + "\n")
        print(path, file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m monitoring.dashboards", description=__doc__)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: %(default)s")
    parser.add_argument("--docs", default=DOCS, help="address of docs/; default: %(default)s")
    args = parser.parse_args(argv)

    def work() -> None:
        params = ROOT / PARAMS
        write(args.output, drift_limits(params).max_psi, min_accuracy(params), args.docs)

    return cli.run("dashboards", work)


if __name__ == "__main__":
    raise SystemExit(main())
