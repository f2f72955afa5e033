"""What every HTTP request with a body passes before it may cost anything."""

import asyncio
import random

from kserve.errors import InvalidInput
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import errors
from serving.errors import CompressedError, OverloadError, TooLargeError, TooSlowError
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
        try:
            size = self._size(scope["headers"])
            if size > SMALL:  # a place first, as to read it costs
                with self._load.request(size):
                    await self._answer(scope, receive, send, await self._read(receive))
            else:  # who is slow to send takes no place meanwhile
                body = await self._read(receive)
                with self._load.request(size):
                    await self._answer(scope, receive, send, body)
        except OverloadError as error:
            await _turn_away(error, send)
        except InvalidInput as error:
            await errors.response(error)(scope, receive, send)

    def _size(self, headers: list[tuple[bytes, bytes]]) -> int:
        """Return how large the body may become, from what its head says."""
        size = None
        for name, value in headers:
            if name == b"content-length":
                size = int(value)
            elif name == b"transfer-encoding":
                size = self._load.limits.max_body_bytes
            elif name == b"content-encoding" and value.lower() not in (b"", b"identity"):
                raise CompressedError("the body is compressed; send it as it is")
            elif name == b"upgrade":  # uvicorn loses the body of a request that asks for another
                raise InvalidInput("only HTTP/1.1 is spoken; send the request without Upgrade")
        self._check(size or 0)
        return size or 0

    def _check(self, size: int) -> None:
        if size > self._load.limits.max_body_bytes:
            raise TooLargeError(f"the body has more than {self._load.limits.max_body_bytes} bytes")

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the body, None if its sender left before its end."""
        chunks: list[bytes] = []
        size = 0
        seconds = self._load.limits.max_body_seconds
        try:
            async with asyncio.timeout(seconds):
                while (message := await receive())["type"] == "http.request":
                    chunks.append(message["body"])
                    size += len(message["body"])
                    self._check(size)
                    if not message["more_body"]:
                        return b"".join(chunks)
        except TimeoutError as error:
            raise TooSlowError(f"the body did not arrive in {seconds} seconds") from error
        return None

    async def _answer(self, scope: Scope, receive: Receive, send: Send, body: bytes | None) -> None:
        if body is None:
            return
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return unread.pop() if unread else await receive()

        await self._load.turns.wait(len(body))
        await self._app(scope, replay, send)


async def _turn_away(error: OverloadError, send: Send) -> None:
    """Answer at once, then leave the connection unread for a part of the time to wait.

    Clients that do not wait would otherwise take the time of those that were let in.
    """
    response = errors.response(error)
    start = {"type": "http.response.start", "status": response.status_code}
    body = {"type": "http.response.body", "body": response.body}
    await send(start | {"headers": response.raw_headers})
    await send(body | {"more_body": True})
    part = random.uniform(0.5, 1)  # noqa: S311 - so that they do not come back all at once
    await asyncio.sleep(errors.RETRY_SECONDS * part)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
