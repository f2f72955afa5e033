"""Metrics of requests, beside KServe's own on /metrics."""

import time
from contextvars import ContextVar
from functools import cache
from http import HTTPStatus

from prometheus_client import Counter, Gauge, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
CLIENT_CLOSED = 499  # nginx's status, and gRPC's, for a client that left before the response
_reviews: ContextVar[str] = ContextVar("reviews")
_requests, _latency = cache(REQUESTS.labels), cache(LATENCY.labels)  # labels() itself is slower


def start_request() -> float:
    """Return the time at which the current task's request began."""
    _reviews.set("none")  # uvicorn starts a pipelined request in the context of the one before it
    return time.perf_counter()


def set_reviews(count: int) -> None:
    """Note how many reviews of the current request the model is asked about."""
    _reviews.set("1" if count == 1 else "more")


def observe_response(method: str, endpoint: str, status: int, began: float) -> None:
    """Count the current request, and time it since ``began``."""
    _requests(method, endpoint, status).inc()
    if endpoint != OTHER:  # refused before routing, and perhaps delayed on purpose
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
        began = start_request()
        status = CLIENT_CLOSED

        async def record_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
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
            observe_response(method, endpoint, status, began)
