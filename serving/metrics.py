"""Count, time and report each request; the metrics stand beside KServe's own on /metrics."""

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus

from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import request_id, trace_context

# prometheus_client adds _total to the name of a counter's samples
REQUESTS = Counter("app_request_count", "Requests answered", ["method", "endpoint", "status"])
LATENCY = Histogram(
    "app_request_latency_seconds",
    "Time from the head of the request to the end of the response",
    ["endpoint", "reviews"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REJECTED = Counter("app_request_rejected_count", "Requests refused, over HTTP and gRPC", ["reason"])
IN_FLIGHT = Gauge("app_requests_in_flight", "Requests queued or being answered")

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "other"
GRPC = "gRPC"  # the method of a call
CLIENT_CLOSED = 499  # nginx's status, and gRPC's, for a client that left before the response
_ID_HEADER = request_id.HEADER.encode()
_asked: ContextVar[tuple[int, str | None]] = ContextVar("asked", default=(0, None))
_REVIEWS = ("none", "1", "more")  # the label of no review, of one and of more
_requests, _latency = cache(REQUESTS.labels), cache(LATENCY.labels)  # labels() itself is slower


@dataclass(slots=True)
class Answer:
    """A request and its answer, as observers get it; ``headers`` are those of the request."""

    method: str
    endpoint: str
    status: int
    grpc_code: int | None
    seconds: float
    texts: int
    version: str | None
    request_id: str | None
    headers: Mapping[str, str]
    trace_id: str | None = None
    parent_id: str | None = None


observers: list[Callable[[Answer], None]] = []  # of traces and of the access log


def start_request() -> float:
    """Return the time at which the current task's request began."""
    _asked.set((0, None))  # uvicorn starts a pipelined request in the context of the one before it
    return time.perf_counter()


def set_reviews(count: int, version: str) -> None:
    """Note how many reviews of the current request a version of the model is asked about."""
    _asked.set((count, version))


def observe_response(
    method: str,
    endpoint: str,
    status: int,
    began: float,
    headers: Mapping[str, str],
    name: str | None = None,
    grpc_code: int | None = None,
) -> None:
    """Count the current request, time it since ``began``, and tell the observers.

    ``headers`` are those of the request; ``name`` is its id as answered.
    """
    texts, version = _asked.get()
    seconds = time.perf_counter() - began
    _requests(method, endpoint, status).inc()
    if endpoint != OTHER:  # refused before routing, and perhaps delayed on purpose
        _latency(endpoint, _REVIEWS[min(texts, 2)]).observe(seconds)
    if not observers:
        return
    answer = Answer(method, endpoint, status, grpc_code, seconds, texts, version, name, headers)
    if parent := trace_context.parse(headers.get(trace_context.HEADER)):
        answer.trace_id, answer.parent_id = parent.trace_id, parent.parent_id
    for observe in observers:
        observe(answer)


def observe_unparsed(status: int) -> None:
    """Count a request that is not HTTP."""
    _asked.set((0, None))
    observe_response(OTHER, OTHER, status, time.perf_counter(), {})


class RequestMetrics:
    """ASGI middleware that counts and times each HTTP request, and has its answer name it.

    ``endpoint`` is the template of the route, not the path, so that callers cannot grow the
    number of time series.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = start_request()
        status, name = CLIENT_CLOSED, None

        async def record_status(message: Message) -> None:
            nonlocal status, name
            if message["type"] == "http.response.start":
                status = message["status"]
                name = _name_answer(message, scope)
            await send(message)

        try:
            await self._app(scope, receive, record_status)
        except Exception as error:
            # starlette answers 500 for it, but outside of this middleware
            if status == CLIENT_CLOSED and not isinstance(error, ClientDisconnect):
                status = HTTPStatus.INTERNAL_SERVER_ERROR.value
            raise
        finally:
            endpoint = getattr(scope.get("route"), "path", OTHER)
            method = scope["method"] if scope["method"] in _METHODS else OTHER
            observe_response(method, endpoint, status, began, Headers(scope=scope), name)


def _name_answer(message: Message, scope: Scope) -> str:
    """Return the request's id in the head of a response; add it where there is none."""
    for header, value in message["headers"]:
        if header == _ID_HEADER:
            return str(value, "latin-1")
    name = request_id.choose(Headers(scope=scope).get(request_id.HEADER))
    message["headers"] = [*message["headers"], (_ID_HEADER, name.encode())]
    return name
