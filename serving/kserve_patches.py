"""Everything that this package changes in KServe, and the faults that it works around.

Each function names its reason, the upstream issue if there is one, and the version with which the
fault was seen. ``tests/contract/test_kserve_patches.py`` fails as soon as an upgrade makes one of
them unnecessary: delete it then.

Faults that a method of a subclass corrects are described there, and tested in the same file: see
``http.drain``, ``http.framing``, ``http.protocol``, ``http.rest``, ``http.routes``,
``decode.dataplane``, ``openapi``, ``repository``, ``rpc``, ``server`` and ``servicer``.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import kserve.logging
from cloudevents.sdk.converters.util import has_binary_headers
from fastapi import FastAPI
from fastapi.exceptions import FastAPIDeprecationWarning
from kserve import model_server
from kserve.protocol.rest import v1_endpoints, v2_endpoints
from starlette.responses import Response
from timing_asgi import TimingMiddleware

_EVENT = "application/cloudevents+json"
_EVENT_HEADERS = ("ce-specversion", "ce-source", "ce-type", "ce-id")


def use_servers(rest: Callable[..., Any], grpc: Callable[..., Any]) -> None:
    """Have KServe construct our REST and gRPC servers in place of its own.

    ``ModelServer.start`` constructs them by their names in its module, without a way to pass a
    class (kserve 0.21.0). Our limits and errors need subclasses: KServe limits neither the size of
    REST bodies (kserve#2810) nor the number of requests in flight.
    """
    model_server.RESTServer = rest
    model_server.GRPCServer = grpc


def use_v2_endpoints(endpoints: type[v2_endpoints.V2Endpoints]) -> None:
    """Have KServe register our v2 handlers in place of its own.

    ``register_v2_endpoints`` constructs them by their name in its module (kserve 0.21.0). KServe's
    own handlers raise NotImplementedError if the path names a version (kserve#4655).
    """
    v2_endpoints.V2Endpoints = endpoints


def use_json_response(response: type[Response]) -> None:
    """Have KServe's v1 handlers answer with another class than FastAPI's ``ORJSONResponse``.

    FastAPI deprecated that class, and each construction of it issues a warning (kserve 0.21.0,
    fastapi 0.165.0), which costs time even where the warning is filtered.
    """
    v1_endpoints.ORJSONResponse = response


def remove_timing(app: FastAPI) -> None:
    """Remove the middleware that times each request for a log line that we switch off.

    It matches each request against all routes a second time (kserve 0.21.0, timing-asgi 0.3.2).
    """
    app.user_middleware = [each for each in app.user_middleware if each.cls is not TimingMiddleware]


def remove_telemetry(app: FastAPI) -> None:
    """Switch off FastAPI's own OpenTelemetry, for which ``--traces`` is.

    FastAPI looks for a provider three times a request, and would send each span a second time
    (fastapi 0.165.0); it takes the choice only where the application is made, which KServe does.
    """
    app._telemetry.update({"tracing": False, "metrics": False, "logs": False})


def configure_logging(*silent: str) -> None:
    """Configure KServe's logging without its lines per request, and silence more loggers.

    KServe writes an access line and two timing lines a request, and has no flag against them
    (kserve 0.21.0); they take a third of the time of an empty request. The routes that FastAPI
    serves still warn of the deprecated ``ORJSONResponse``, KServe's default.
    """
    config: dict[str, Any] = copy.deepcopy(kserve.logging.KSERVE_LOG_CONFIG)
    for name in ("uvicorn.access", "kserve.trace"):
        config["loggers"][name]["level"] = "WARNING"
    for name in silent:
        config["loggers"][name] = {"level": "ERROR"}
    # which model is served; without a level of their own, loggers tell only warnings
    config["loggers"]["serving.model"] = {"handlers": ["kserve"], "level": "INFO"}
    kserve.logging.configure_logging(config)
    warnings.simplefilter("ignore", FastAPIDeprecationWarning)


def keep_event_headers(headers: dict[str, str]) -> None:
    """Remove from the headers of an ``:explain`` request all that do not make it a CloudEvent.

    KServe sends the headers that it passes to ``explain`` back to the client, credentials among
    them (kserve 0.21.0). It also decides by them whether the response is a CloudEvent, so these
    must stay; KServe then replaces each with the response's own.
    """
    kept = set(_EVENT_HEADERS) if has_binary_headers(headers) else set()
    if headers.get("content-type") == _EVENT:
        kept.add("content-type")
    for name in headers.keys() - kept:
        del headers[name]
