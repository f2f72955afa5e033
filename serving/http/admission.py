"""What every HTTP request with a body passes before it may cost anything."""

import random

from kserve.errors import InvalidInput
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import errors
from serving.errors import CompressedError, OverloadError
from serving.http.body import Body
from serving.in_flight import SMALL, Load

_BODILESS = {"GET", "HEAD", "OPTIONS"}  # probes and /metrics among them: never refused


class Gate:
    """ASGI middleware that reads bodies within limits and lets so many requests in at a time.

    Starlette's own limit of bodies knows neither what is in flight nor who sends slowly.
    """

    def __init__(self, app: ASGIApp, load: Load) -> None:
        self._app = app
        self._load = load

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _BODILESS:
            await self._app(scope, receive, send)
            return
        body = Body(receive, self._load.limits)
        try:
            size = _size(scope["headers"])
            body.check(size or 0)
            if size is None or size <= SMALL:  # who is slow to send takes no place meanwhile
                await body.read(SMALL)
            whole = size or self._load.limits.max_body_bytes
            with self._load.request(body.size if body.ended else whole):
                if not body.ended:
                    await body.read(whole)
                if not body.lost:
                    await self._load.turns.wait(body.size)
                    await self._app(scope, _replay(body.content(), receive), send)
        except (InvalidInput, OverloadError) as error:
            await self._refuse(error, body, send)

    async def _refuse(self, error: Exception, body: Body, send: Send) -> None:
        """Answer at once, but end the answer later.

        Clients that do not wait as they are told would take the time of those that were let in; so
        nothing more is read from them meanwhile. And a connection that is closed while its client
        still sends is reset, and the reason lost with it; so what comes is read, and dropped.
        """
        response = errors.response(error)
        headers = response.raw_headers
        if not body.ended and not isinstance(error, OverloadError):
            headers = [*headers, (b"connection", b"close")]
        start = {"type": "http.response.start", "status": response.status_code}
        await send(start | {"headers": headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        if isinstance(error, OverloadError):
            await self._outlast(error, body)
        await body.drop()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _outlast(self, error: OverloadError, body: Body) -> None:
        part = random.uniform(0.5, 1)  # noqa: S311 - so that they do not all come at once
        self._load.waiting += 1
        try:
            await body.outlast(error.retry_after * part)
        finally:
            self._load.waiting -= 1


def _replay(content: bytes, receive: Receive) -> Receive:
    unread = [{"type": "http.request", "body": content, "more_body": False}]

    async def replay() -> Message:
        return unread.pop() if unread else await receive()

    return replay


def _size(headers: list[tuple[bytes, bytes]]) -> int | None:
    """Return the size of the body, if its head says it; refuse what the head alone forbids."""
    size: int | None = 0
    for name, value in headers:
        if name == b"content-length":
            size = int(value)
        elif name == b"transfer-encoding":
            size = None
        elif name == b"content-encoding" and value.lower() not in (b"", b"identity"):
            raise CompressedError("the body is compressed; send it as it is")
        elif name == b"upgrade":  # uvicorn loses the body of a request that asks for another
            raise InvalidInput("only HTTP/1.1 is spoken; send the request without Upgrade")
    return size
