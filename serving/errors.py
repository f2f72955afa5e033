"""Answer every error over HTTP as ``{"error": "the reason"}``, with one status for each kind.

The response has the request's id, so that a client can tell which of its requests failed.

The reason of a caller's error is counted by kind and sent to the caller. A fault of the server is
logged, and its reason stays in the log.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple, cast

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from grpc import StatusCode
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady, ServerNotReady
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from serving import metrics, request_id

INTERNAL = "internal error"
_MAX_REASON = 500  # characters; some reasons quote the request


class TooLargeError(InvalidInput):
    """The request exceeds a limit."""


class CompressedError(InvalidInput):
    """The body is compressed, and its size unpacked is unknown beforehand."""


class TooSlowError(InvalidInput):
    """The body did not arrive in time."""


class ForbiddenError(InvalidInput):
    """The server does not allow this to any caller."""


class FeedbackOffError(InvalidInput):
    """The server has nowhere to write feedback."""


class UnknownServiceError(InvalidInput):
    """The health of a service is asked for that the server does not have."""


class UnknownMethodError(InvalidInput):
    """The server has no such gRPC method."""


class OverloadError(Exception):
    """The server is full; the client may retry after ``retry_after`` seconds."""

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Kind(NamedTuple):
    """The reason in the metrics, the HTTP status and the gRPC code of an error."""

    label: str
    status: HTTPStatus
    code: StatusCode


KINDS: dict[type[Exception], Kind] = {
    InvalidInput: Kind("invalid", HTTPStatus.BAD_REQUEST, StatusCode.INVALID_ARGUMENT),
    TooLargeError: Kind(
        "too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, StatusCode.RESOURCE_EXHAUSTED
    ),
    CompressedError: Kind(
        "compressed", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, StatusCode.INVALID_ARGUMENT
    ),
    TooSlowError: Kind("too_slow", HTTPStatus.REQUEST_TIMEOUT, StatusCode.DEADLINE_EXCEEDED),
    ForbiddenError: Kind("forbidden", HTTPStatus.FORBIDDEN, StatusCode.PERMISSION_DENIED),
    OverloadError: Kind(
        "overloaded", HTTPStatus.SERVICE_UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED
    ),
    FeedbackOffError: Kind("not_found", HTTPStatus.NOT_FOUND, StatusCode.NOT_FOUND),
    UnknownServiceError: Kind("not_found", HTTPStatus.NOT_FOUND, StatusCode.NOT_FOUND),
    UnknownMethodError: Kind("not_found", HTTPStatus.NOT_FOUND, StatusCode.UNIMPLEMENTED),
    ModelNotFound: Kind("not_found", HTTPStatus.NOT_FOUND, StatusCode.NOT_FOUND),
    ModelNotReady: Kind("not_ready", HTTPStatus.SERVICE_UNAVAILABLE, StatusCode.UNAVAILABLE),
    ServerNotReady: Kind("not_ready", HTTPStatus.SERVICE_UNAVAILABLE, StatusCode.UNAVAILABLE),
}
NOT_HTTP = "not_http"
_ROUTING = {404: "not_found", 405: "not_allowed"}
for _label in {NOT_HTTP, *_ROUTING.values(), *(kind.label for kind in KINDS.values())}:
    metrics.REJECTED.labels(_label)  # a reason without a refusal is 0, not absent


def install(app: FastAPI) -> None:
    """Register the handlers of all errors that the application raises."""
    for error in KINDS:
        app.add_exception_handler(error, _handle_refusal)
    app.add_exception_handler(HTTPException, _handle_routing)
    app.add_exception_handler(Exception, _handle_fault)


def count_refusal(error: Exception) -> tuple[Kind, str]:
    """Count an error of one of the ``KINDS``; return its kind and its reason."""
    kind = next(KINDS[parent] for parent in type(error).__mro__ if parent in KINDS)
    metrics.REJECTED.labels(kind.label).inc()
    return kind, str(error)[:_MAX_REASON]


def refuse(error: Exception, headers: Headers) -> JSONResponse:
    """Count an error of one of the ``KINDS``; return the response to a request of such headers."""
    kind, reason = count_refusal(error)
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
        retry = {"retry-after": str(getattr(error, "retry_after", 1))}
        return _respond(headers, reason, kind.status, retry)
    return _respond(headers, reason, kind.status)


async def _handle_refusal(request: Request, error: Exception) -> JSONResponse:
    return refuse(error, request.headers)


async def _handle_routing(request: Request, error: Exception) -> JSONResponse:
    """Answer an error of the router, whose reason is the bare name of the status."""
    routing = cast(HTTPException, error)
    metrics.REJECTED.labels(_ROUTING.get(routing.status_code, "invalid")).inc()
    reason = f"{request.method} {request.url.path}: {routing.detail}"[:_MAX_REASON]
    return _respond(request.headers, reason, routing.status_code, routing.headers)


async def _handle_fault(request: Request, error: Exception) -> JSONResponse:
    return _respond(request.headers, INTERNAL, HTTPStatus.INTERNAL_SERVER_ERROR)


def _respond(
    request: Headers, reason: str, status: int, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    name = request_id.choose(request.get(request_id.HEADER))
    return JSONResponse({"error": reason}, status, {**(headers or {}), request_id.HEADER: name})
