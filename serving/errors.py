"""One shape of error over HTTP, ``{"error": "the reason"}``, and one status for each kind.

A caller's mistake is counted by kind and told to its caller. Our own is logged, and told to nobody.
"""

from http import HTTPStatus
from typing import NamedTuple, cast

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from grpc import StatusCode
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady
from starlette.exceptions import HTTPException

from serving import metrics

INTERNAL = "internal error"
_LONGEST = 500  # characters of a reason; some quote their caller


class TooLargeError(InvalidInput):
    """The request is beyond a limit."""


class CompressedError(InvalidInput):
    """The body is compressed: what it would grow to cannot be told beforehand."""


class TooSlowError(InvalidInput):
    """The body did not arrive in the time that it may take."""


class ForbiddenError(InvalidInput):
    """Nobody may do that here."""


class OverloadError(Exception):
    """As much is in flight as may be; there may be a place after so many seconds."""

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Kind(NamedTuple):
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
    OverloadError: Kind("overloaded", HTTPStatus.SERVICE_UNAVAILABLE, StatusCode.UNAVAILABLE),
    ModelNotFound: Kind("not_found", HTTPStatus.NOT_FOUND, StatusCode.NOT_FOUND),
    ModelNotReady: Kind("not_ready", HTTPStatus.SERVICE_UNAVAILABLE, StatusCode.UNAVAILABLE),
}
NOT_HTTP = "not_http"
_UNROUTED = {404: "not_found", 405: "not_allowed"}
for _label in {NOT_HTTP, *_UNROUTED.values(), *(kind.label for kind in KINDS.values())}:
    metrics.REJECTED.labels(_label)  # a reason never given is 0, not absent


def install(app: FastAPI) -> None:
    """Answer in this shape whatever the application raises."""
    for refused in KINDS:
        app.add_exception_handler(refused, _refused)
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_exception_handler(Exception, _broken)


def refusal(error: Exception) -> tuple[Kind, str]:
    """Count an error of one of the ``KINDS``; return its kind and its reason."""
    kind = next(KINDS[each] for each in type(error).__mro__ if each in KINDS)
    metrics.REJECTED.labels(kind.label).inc()
    return kind, str(error)[:_LONGEST]


def response(error: Exception) -> JSONResponse:
    kind, reason = refusal(error)
    unavailable = kind.status == HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"retry-after": str(getattr(error, "retry_after", 1))} if unavailable else None
    return JSONResponse({"error": reason}, kind.status, headers)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    return response(error)


async def _unrouted(request: Request, error: Exception) -> JSONResponse:
    """Answer for the router, whose reasons are the bare names of the statuses."""
    routed = cast(HTTPException, error)
    metrics.REJECTED.labels(_UNROUTED.get(routed.status_code, "invalid")).inc()
    reason = f"{request.method} {request.url.path}: {routed.detail}"[:_LONGEST]
    return JSONResponse({"error": reason}, routed.status_code, routed.headers)


async def _broken(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": INTERNAL}, HTTPStatus.INTERNAL_SERVER_ERROR)
