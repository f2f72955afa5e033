"""The body of an HTTP request, read within limits of size and time."""

import asyncio

from starlette.types import Receive

from serving.errors import TooLargeError, TooSlowError
from serving.limits import Limits


class Body:
    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        self._chunks: list[bytes] = []
        self.size = 0  # bytes that have come
        self.ended = False
        self.lost = False  # its sender left before its end

    async def read(self, enough: int) -> None:
        """Read until the end, or until more than ``enough`` bytes have come."""
        seconds = self._limits.max_body_seconds
        try:
            async with asyncio.timeout(seconds):
                while not self.ended and self.size <= enough:
                    message = await self._receive()
                    self.lost = message["type"] == "http.disconnect"
                    self.ended = not message.get("more_body", False)
                    self._chunks.append(message.get("body", b""))
                    self.size += len(self._chunks[-1])
                    self.check(self.size)
        except TimeoutError as error:
            raise TooSlowError(f"the body did not arrive in {seconds} seconds") from error

    def check(self, size: int) -> None:
        if size > self._limits.max_body_bytes:
            raise TooLargeError(f"the body has more than {self._limits.max_body_bytes} bytes")

    def content(self) -> bytes:
        return b"".join(self._chunks)

    async def drop(self) -> None:
        """Take what still comes, for as long as a body may take to arrive."""
        self._chunks.clear()
        try:
            async with asyncio.timeout(self._limits.max_body_seconds):
                while not self.ended:
                    self.ended = not (await self._receive()).get("more_body", False)
        except TimeoutError:
            return

    async def outlast(self, seconds: float) -> None:
        """Return after so long, or when the sender of a whole body has left."""
        self._chunks.clear()
        if not self.ended:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._receive()  # behind a body comes nothing but the end
        except TimeoutError:
            return
