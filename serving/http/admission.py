"""Admit HTTP requests with a body within the limits, and refuse the others early."""

import random

from kserve.errors import InvalidInput
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import errors
from serving.errors import CompressedError, OverloadError
from serving.http.body import Body
from serving.in_flight import SMALL_BODY, InFlight

_BODILESS = {"GET", "HEAD", "OPTIONS"}  # never refused: probes and scrapes are among them


class Admission:
    """ASGI middleware that limits bodies and the number of requests in flight.

    Starlette's own limit on bodies counts neither requests in flight nor the time of a body.
    """

    def __init__(self, app: ASGIApp, in_flight: InFlight) -> None:
        self._app = app
        self._in_flight = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _BODILESS:
            await self._app(scope, receive, send)
            return
        body = Body(receive, self._in_flight.limits)
        try:
            size = _check_head(scope["headers"])
            body.check_size(size or 0)
            if size is None or size <= SMALL_BODY:  # a slow client of a small body takes no slot
                await body.read(SMALL_BODY)
            expected = size or self._in_flight.limits.max_body_bytes
            with self._in_flight.admit(body.size if body.complete else expected):
                if not body.complete:
                    await body.read(expected)
                if not body.disconnected:
                    await self._in_flight.scheduler.wait_turn(body.size)
                    await self._app(scope, _replay(body.content(), receive), send)
        except (InvalidInput, OverloadError) as error:
            await self._refuse(error, body, Headers(scope=scope), send)

    async def _refuse(self, error: Exception, body: Body, request: Headers, send: Send) -> None:
        """Send the refusal at once, but end the response later.

        A client that retries too early would take processor time from the admitted requests, so
        the server reads nothing more from its connection until the retry is due. A connection
        that is closed while its client still sends is reset, and the client loses the reason, so
        the server reads the rest of the body and drops it.
        """
        response = errors.refuse(error, request)
        headers = response.raw_headers
        if not body.complete and not isinstance(error, OverloadError):
            headers = [*headers, (b"connection", b"close")]
        start = {"type": "http.response.start", "status": response.status_code}
        await send(start | {"headers": headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        if isinstance(error, OverloadError):
            await self._hold_back(error, body)
        await body.discard_rest()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _hold_back(self, error: OverloadError, body: Body) -> None:
        share = random.uniform(0.5, 1)  # noqa: S311 - spreads the retries of many clients
        self._in_flight.refused_clients += 1
        try:
            await body.wait_for_disconnect(error.retry_after * share)
        finally:
            self._in_flight.refused_clients -= 1


def _replay(content: bytes, receive: Receive) -> Receive:
    unread = [{"type": "http.request", "body": content, "more_body": False}]

    async def replay() -> Message:
        return unread.pop() if unread else await receive()

    return replay


def _check_head(headers: list[tuple[bytes, bytes]]) -> int | None:
    """Return the size of the body, or None if it comes in chunks.

    Raises:
        CompressedError: the body is compressed; 415.
        InvalidInput: the request asks for another protocol; 400.
    """
    size: int | None = 0
    for name, value in headers:
        if name == b"content-length":
            size = int(value)
        elif name == b"transfer-encoding":
            size = None
        elif name == b"content-encoding" and value.lower() not in (b"", b"identity"):
            raise CompressedError("the body is compressed; send it as it is")
        elif name == b"upgrade":  # uvicorn would lose the body (Kludex/uvicorn#2722, 0.54.0)
            raise InvalidInput("only HTTP/1.1 is supported; send the request without Upgrade")
    return size
