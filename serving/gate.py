"""What every HTTP request with a body passes before it may cost anything."""

import random

from kserve.errors import InvalidInput
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import errors
from serving.body import Body
from serving.errors import CompressedError, OverloadError, TooLargeError
from serving.load import SMALL, Load

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
            size = self._size(scope["headers"])
            if size > SMALL:  # a place first, as to read it costs
                with self._load.request(size):
                    await self._answer(scope, receive, send, await body.read())
            else:  # who is slow to send takes no place meanwhile
                content = await body.read()
                with self._load.request(size):
                    await self._answer(scope, receive, send, content)
        except (InvalidInput, OverloadError) as error:
            await self._refuse(error, body, send)

    def _size(self, headers: list[tuple[bytes, bytes]]) -> int:
        """Return how large the body may become, from what its head says."""
        size, limit = 0, self._load.limits.max_body_bytes
        for name, value in headers:
            if name == b"content-length":
                size = int(value)
            elif name == b"transfer-encoding":
                size = limit
            elif name == b"content-encoding" and value.lower() not in (b"", b"identity"):
                raise CompressedError("the body is compressed; send it as it is")
            elif name == b"upgrade":  # uvicorn loses the body of a request that asks for another
                raise InvalidInput("only HTTP/1.1 is spoken; send the request without Upgrade")
        if size > limit:
            raise TooLargeError(f"the body has more than {limit} bytes")
        return size

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, content: bytes | None
    ) -> None:
        if content is None:
            return
        unread = [{"type": "http.request", "body": content, "more_body": False}]

        async def replay() -> Message:
            return unread.pop() if unread else await receive()

        await self._load.turns.wait(len(content))
        await self._app(scope, replay, send)

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
