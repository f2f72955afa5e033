"""Read the body of an HTTP request within limits of size, time and memory."""

import asyncio

from starlette.types import Message, Receive

from serving.errors import TooLargeError, TooSlowError
from serving.in_flight import InFlight

_PAUSE = 2.0  # seconds for which a client may send nothing; lost packets are sent again by then


class Body:
    """A body, whose bytes are reserved as they arrive until it is complete."""

    def __init__(self, receive: Receive, in_flight: InFlight) -> None:
        self._receive = receive
        self._in_flight = in_flight
        self._limits = in_flight.limits
        self._content = bytearray()
        self._reserved = 0
        self.size = 0  # bytes received
        self.complete = False
        self.disconnected = False  # the client left before the end of the body

    async def read(self, keep: bool = True) -> None:
        """Read to the end of the body, and forget its bytes unless ``keep``.

        Raises:
            TooLargeError: the body exceeds its limit; 413.
            TooSlowError: the body did not arrive in time, or its client sends too slowly; 408.
            OverloadError: too many bytes of incomplete bodies have arrived; 503.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.max_body_seconds
        due = loop.time() + _PAUSE
        try:
            async with asyncio.timeout_at(min(due, end)) as timeout:
                while not self.complete:
                    arrived = await self._receive_more(keep)
                    if not self.complete:
                        due += arrived / self._limits.min_body_rate
                        due = min(due, loop.time() + _PAUSE)
                        timeout.reschedule(min(due, end))
        except TimeoutError as error:
            raise TooSlowError(self._too_slow(due < end)) from error

    async def _receive_more(self, keep: bool) -> int:
        message = await self._receive()
        self.disconnected = message["type"] == "http.disconnect"
        self.complete = not message.get("more_body", False)
        arrived: bytes = message.get("body", b"")
        self.size += len(arrived)
        self.check_size(self.size)
        if keep:
            self._reserve(0 if self.complete else self.size)
            self._content += arrived
        return len(arrived)

    def _reserve(self, size: int) -> None:
        if size != self._reserved:
            self._in_flight.reserve(self._reserved, size)
            self._reserved = size

    def _too_slow(self, stalled: bool) -> str:
        if stalled:
            rate = self._limits.min_body_rate
            return f"the body arrives at less than {rate} bytes a second (--min_body_rate)"
        return f"the body did not arrive in {self._limits.max_body_seconds} seconds"

    def check_size(self, size: int) -> None:
        if size > self._limits.max_body_bytes:
            raise TooLargeError(f"the body has more than {self._limits.max_body_bytes} bytes")

    def content(self) -> bytes:
        return bytes(self._content)

    def forget(self) -> None:
        """Free the bytes that have arrived."""
        self._content = bytearray()
        self._reserve(0)

    async def discard_rest(self) -> None:
        """Receive and drop the rest of the body, for as long as a body may take to arrive."""
        self.forget()
        try:
            async with asyncio.timeout(self._limits.max_body_seconds):
                while not self.complete:
                    self.complete = not (await self._receive()).get("more_body", False)
        except TimeoutError:
            return

    async def wait_for_disconnect(self, until: float) -> None:
        """Wait until this time of the loop, or until the client of a complete body disconnects."""
        try:
            async with asyncio.timeout_at(until):
                await self._receive()  # after a complete body, only a disconnect can follow
        except TimeoutError:
            return


def replay(content: bytes, receive: Receive) -> Receive:
    """Return a function that receives a body that has been read, and then what follows it."""
    unread = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive_again() -> Message:
        return unread.pop() if unread else await receive()

    return receive_again
