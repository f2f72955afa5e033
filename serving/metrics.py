"""The metrics of the service, beside KServe's own on /metrics."""

import time
from contextvars import ContextVar
from functools import cache

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# prometheus_client adds _total to the name of a counter's samples
REQUESTS = Counter("app_request_count", "Requests answered", ["method", "endpoint", "status"])
LATENCY = Histogram(
    "app_request_latency_seconds",
    "Time from the request's head to the answer's end",
    ["endpoint", "reviews"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REJECTED = Counter("app_request_rejected_count", "Requests refused, over HTTP and gRPC", ["reason"])
IN_FLIGHT = Gauge("app_requests_in_flight", "Requests being answered, waiting ones among them")

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_OTHER = "other"
LEFT = 499  # nginx's status, and gRPC's, for a client that left before its answer
_reviews: ContextVar[str] = ContextVar("reviews")
_requests, _latency = cache(REQUESTS.labels), cache(LATENCY.labels)  # each time anew is slower


def begin() -> float:
    """Return the time at which the request began that this task is to answer."""
    _reviews.set("none")  # uvicorn begins a pipelined request within the one before it
    return time.perf_counter()


def holds(reviews: int) -> None:
    """Say how many reviews the request at hand asks the model about."""
    _reviews.set("1" if reviews == 1 else "more")


def answered(method: str, endpoint: str, status: int, began: float) -> None:
    _requests(method, endpoint, status).inc()
    if endpoint != _OTHER:  # who was refused at the door may have been kept there
        _latency(endpoint, _reviews.get()).observe(time.perf_counter() - began)


class RequestMetrics:
    """ASGI middleware that counts and times each HTTP request.

    ``endpoint`` is the template of the route, not the path, so that callers cannot grow the
    number of time series.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = begin()
        status = LEFT

        async def watched(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            endpoint = getattr(scope.get("route"), "path", _OTHER)
            method = scope["method"] if scope["method"] in _METHODS else _OTHER
            answered(method, endpoint, status, began)
