"""Count the requests in flight, over HTTP and gRPC alike, and refuse those beyond the limits."""

from collections.abc import Iterator
from contextlib import contextmanager

from serving.errors import OverloadError
from serving.limits import RequestLimits
from serving.scheduler import Scheduler

SMALL_BODY = 65_536  # bytes; uvicorn reads as many ahead
_MAX_RETRY_AFTER = 10  # seconds
_REFUSALS_PER_SECOND = 250  # leave most of the processor to the admitted requests


class InFlight:
    """The requests that are queued or being answered.

    Large requests may take half of the slots, so that small requests always find one.
    """

    def __init__(self, limits: RequestLimits) -> None:
        self.limits = limits
        self.scheduler = Scheduler()
        self.requests = 0
        self.refused_clients = 0  # refused, and still connected
        self._large_bytes = 0

    @contextmanager
    def admit(self, size: int) -> Iterator[None]:
        """Count a request of ``size`` bytes while the block runs, or raise OverloadError."""
        large = size if size > SMALL_BODY else 0
        slots = self.limits.max_in_flight // (2 if large else 1)
        if self.requests >= max(slots, 1):
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
        """Return the error, with a longer wait before the retry the more clients are refused."""
        retry_after = min(1 + self.refused_clients // _REFUSALS_PER_SECOND, _MAX_RETRY_AFTER)
        return OverloadError(f"{reason}; try again in {retry_after} s", retry_after)
