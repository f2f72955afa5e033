"""The body of an HTTP request, read within limits of size and time."""

import asyncio

from starlette.types import Receive

from serving.errors import TooLargeError, TooSlowError
from serving.limits import Limits


class Body:
    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        self.ended = False

    async def read(self) -> bytes | None:
        """Return all of the body, None if its sender left before its end."""
        chunks: list[bytes] = []
        size = 0
        seconds, limit = self._limits.max_body_seconds, self._limits.max_body_bytes
        try:
            async with asyncio.timeout(seconds):
                while not self.ended:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        self.ended = True
                        return None
                    self.ended = not message["more_body"]
                    size += len(message["body"])
                    if size > limit:
                        raise TooLargeError(f"the body has more than {limit} bytes")
                    chunks.append(message["body"])
        except TimeoutError as error:
            raise TooSlowError(f"the body did not arrive in {seconds} seconds") from error
        return b"".join(chunks)

    async def drop(self) -> None:
        """Take what still comes of the body, for as long as it may take to arrive."""
        try:
            async with asyncio.timeout(self._limits.max_body_seconds):
                while not self.ended:
                    self.ended = not (await self._receive()).get("more_body", False)
        except TimeoutError:
            return

    async def outlast(self, seconds: float) -> None:
        """Return after so long, or when the sender of a whole body has left."""
        if not self.ended:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._receive()  # behind a body comes nothing but the end
        except TimeoutError:
            return
