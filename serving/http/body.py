"""Read the body of an HTTP request within limits of size and time."""

import asyncio

from starlette.types import Receive

from serving.errors import TooLargeError, TooSlowError
from serving.limits import RequestLimits


class Body:
    def __init__(self, receive: Receive, limits: RequestLimits) -> None:
        self._receive = receive
        self._limits = limits
        self._chunks: list[bytes] = []
        self.size = 0  # bytes received
        self.complete = False
        self.disconnected = False  # the client left before the end of the body

    async def read(self, enough: int) -> None:
        """Read to the end of the body, or until more than ``enough`` bytes have arrived.

        Raises:
            TooLargeError: the body exceeds its limit; 413.
            TooSlowError: the body did not arrive in time; 408.
        """
        seconds = self._limits.max_body_seconds
        try:
            async with asyncio.timeout(seconds):
                while not self.complete and self.size <= enough:
                    message = await self._receive()
                    self.disconnected = message["type"] == "http.disconnect"
                    self.complete = not message.get("more_body", False)
                    self._chunks.append(message.get("body", b""))
                    self.size += len(self._chunks[-1])
                    self.check_size(self.size)
        except TimeoutError as error:
            raise TooSlowError(f"the body did not arrive in {seconds} seconds") from error

    def check_size(self, size: int) -> None:
        if size > self._limits.max_body_bytes:
            raise TooLargeError(f"the body has more than {self._limits.max_body_bytes} bytes")

    def content(self) -> bytes:
        return b"".join(self._chunks)

    async def discard_rest(self) -> None:
        """Receive and drop the rest of the body, for as long as a body may take to arrive."""
        self._chunks.clear()
        try:
            async with asyncio.timeout(self._limits.max_body_seconds):
                while not self.complete:
                    self.complete = not (await self._receive()).get("more_body", False)
        except TimeoutError:
            return

    async def wait_for_disconnect(self, seconds: float) -> None:
        """Wait so long, or until the client of a complete body disconnects."""
        self._chunks.clear()
        if not self.complete:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._receive()  # after a complete body, only a disconnect can follow
        except TimeoutError:
            return
