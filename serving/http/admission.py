"""Admit HTTP requests with a body within the limits, and refuse the others early."""

import asyncio
import random

from kserve.errors import InvalidInput
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving import errors
from serving.errors import CompressedError, OverloadError
from serving.http.body import Body, replay
from serving.in_flight import SMALL_BODY, InFlight

_NEVER_FULL = {"GET", "HEAD", "OPTIONS"}  # take no slot: probes and scrapes are among them


class Admission:
    """ASGI middleware that limits bodies and the number of requests in flight.

    Each body is read to its end before the application runs, with its time and its bytes limited,
    so that no method has more after its response. Starlette's own limit on bodies counts neither
    requests in flight nor the time of a body.
    """

    def __init__(self, app: ASGIApp, in_flight: InFlight) -> None:
        self._app = app
        self._in_flight = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = Body(receive, self._in_flight)
        try:
            if scope["method"] in _NEVER_FULL:
                await self._answer_without_body(body, scope, receive, send)
            else:
                await self._answer(body, scope, receive, send)
        except (InvalidInput, OverloadError) as error:
            await self._refuse(error, body, Headers(scope=scope), send)
        finally:
            body.forget()

    async def _answer_without_body(
        self, body: Body, scope: Scope, receive: Receive, send: Send
    ) -> None:
        size = _body_size(scope["headers"])
        if size != 0:
            body.check_size(size or 0)
            await body.read(keep=False)
            receive = replay(b"", receive)
        if not body.disconnected:
            await self._app(scope, receive, send)

    async def _answer(self, body: Body, scope: Scope, receive: Receive, send: Send) -> None:
        _check_encoding(scope["headers"])
        size = _body_size(scope["headers"]) or 0
        body.check_size(size)
        if size > SMALL_BODY:
            self._in_flight.check(size)  # before the client sends the body in vain
        await body.read()
        if body.disconnected:
            return
        with self._in_flight.admit(body.size):
            await self._in_flight.scheduler.wait_turn(body.size)
            await self._app(scope, replay(body.content(), receive), send)

    async def _refuse(self, error: Exception, body: Body, request: Headers, send: Send) -> None:
        """Send the refusal at once, but end the response later.

        A connection that is closed while its client still sends is reset, and the client loses
        the reason, so the server reads the rest of the body and drops it. A client that retries too
        early would take processor time from the admitted requests, so the server then reads
        nothing more from its connection until the retry is due.
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
        else:
            await body.discard_rest()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _hold_back(self, error: OverloadError, body: Body) -> None:
        share = random.uniform(0.5, 1)  # noqa: S311 - spreads the retries of many clients
        due = asyncio.get_running_loop().time() + error.retry_after * share
        self._in_flight.refused_clients += 1
        try:
            await body.discard_rest()
            if body.complete:
                await body.wait_for_disconnect(due)
        finally:
            self._in_flight.refused_clients -= 1


def _body_size(headers: list[tuple[bytes, bytes]]) -> int | None:
    """Return the announced size of the body, or None if it comes in chunks."""
    for name, value in headers:
        if name == b"content-length":
            return int(value)
        if name == b"transfer-encoding":  # the protocol refuses both together
            return None
    return 0


def _check_encoding(headers: list[tuple[bytes, bytes]]) -> None:
    for name, value in headers:
        if name == b"content-encoding" and value.lower() not in (b"", b"identity"):
            raise CompressedError("the body is compressed; send it as it is")
