"""What is being worked on, over HTTP and gRPC alike."""

from collections.abc import Iterator
from contextlib import contextmanager

from serving.errors import OverloadError
from serving.limits import Limits
from serving.scheduler import Turns

SMALL = 65_536  # bytes; uvicorn reads so much of a body ahead
_LONGEST_WAIT = 10  # seconds
_REFUSALS = 250  # a second that leave most of the processor to those that were let in


class Load:
    """The requests in flight, waiting ones among them.

    Large ones take half of the places at most, so that they cannot keep small ones out.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.turns = Turns()
        self.requests = 0
        self.waiting = 0  # clients that were refused and have not left
        self._large_bytes = 0

    @contextmanager
    def request(self, size: int) -> Iterator[None]:
        """Count a request of ``size`` bytes while the block runs, or raise OverloadError."""
        large = size if size > SMALL else 0
        places = self.limits.max_in_flight // (2 if large else 1)
        if self.requests >= max(places, 1):
            raise self._overload(f"{self.requests} requests are in flight")
        if large and self._large_bytes + large > self.limits.max_in_flight_bytes:
            raise self._overload(f"{self._large_bytes} bytes are in flight")
        self.requests += 1
        self._large_bytes += large
        try:
            yield
        finally:
            self.requests -= 1
            self._large_bytes -= large

    def _overload(self, reason: str) -> OverloadError:
        """Tell a client when to come back: the later, the more there are of them."""
        retry_after = min(1 + self.waiting // _REFUSALS, _LONGEST_WAIT)
        return OverloadError(f"{reason}; try again in {retry_after} s", retry_after)
