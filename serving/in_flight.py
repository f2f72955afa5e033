"""Count the requests in flight, over HTTP and gRPC alike, and refuse those beyond the limits."""

from collections.abc import Iterator
from contextlib import contextmanager

from serving.errors import OverloadError
from serving.limits import RequestLimits
from serving.scheduler import Scheduler

SMALL_BODY = 65_536  # bytes; uvicorn reads as many ahead
_ARRIVING = 4  # times max_in_flight_bytes; a slow body costs memory, and no work
_MAX_RETRY_AFTER = 10  # seconds
_REFUSALS_PER_SECOND = 250  # leave most of the processor to the admitted requests


class InFlight:
    """The requests that are queued or being answered, and the bodies that are arriving.

    Large requests may take half of the slots, and of the memory for bodies that are arriving, so
    that small requests always find room. A request takes a slot once its body is complete.
    """

    def __init__(self, limits: RequestLimits) -> None:
        self.limits = limits
        self.scheduler = Scheduler()
        self.requests = 0
        self.refused_clients = 0  # refused, and still connected
        self._large_bytes = 0
        self._arriving_bytes = 0  # of all incomplete bodies
        self._arriving_large_bytes = 0

    @contextmanager
    def admit(self, size: int) -> Iterator[None]:
        """Count a request of ``size`` bytes while the block runs, or raise OverloadError."""
        self.check(size)
        large = _large(size)
        self.requests += 1
        self._large_bytes += large
        try:
            yield
        finally:
            self.requests -= 1
            self._large_bytes -= large

    def check(self, size: int) -> None:
        """Raise OverloadError if a request of ``size`` bytes would not be admitted now."""
        large = _large(size)
        slots = self.limits.max_in_flight // (2 if large else 1)
        if self.requests >= max(slots, 1):
            raise self._overload(f"{self.requests} requests are in flight")
        if large and self._large_bytes + large > self.limits.max_in_flight_bytes:
            raise self._overload(f"{self._large_bytes} bytes are in flight")

    def reserve(self, before: int, size: int) -> None:
        """Count that ``size`` bytes of an incomplete body have arrived, and no longer ``before``.

        Raises:
            OverloadError: there is no room for them; ``before`` remains counted.
        """
        room = _ARRIVING * self.limits.max_in_flight_bytes
        total = self._arriving_bytes - before + size
        large = self._arriving_large_bytes - _large(before) + _large(size)
        if size > before and (total > room or (_large(size) and large > room // 2)):
            raise self._overload(f"{self._arriving_bytes} bytes of other bodies are arriving")
        self._arriving_bytes, self._arriving_large_bytes = total, large

    def _overload(self, reason: str) -> OverloadError:
        """Return the error, with a longer wait before the retry the more clients are refused."""
        retry_after = min(1 + self.refused_clients // _REFUSALS_PER_SECOND, _MAX_RETRY_AFTER)
        return OverloadError(f"{reason}; try again in {retry_after} s", retry_after)


def _large(size: int) -> int:
    """Return ``size`` if it is that of a large body, else 0."""
    return size if size > SMALL_BODY else 0
