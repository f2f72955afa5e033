"""Schedule scoring on the event loop so that large requests do not delay small ones.

Texts are scored on the event loop itself. A scoring thread would hold the interpreter lock, and
each poll of the network would wait for it. Work comes in chunks and runs first in, first out.
Between two polls of the network, the scheduler runs a few milliseconds of work at most. It runs
them in a row, because the model then stays in the processor's cache.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

BUDGET = 8_192  # characters, or bytes, of work between two polls of the network
CHUNK = 65_536  # characters of texts scored together at most; more texts together are faster
_POLLS = 5  # after a large chunk: a probe takes so many from its connection to its response
_T = TypeVar("_T")


class Scheduler:
    def __init__(self) -> None:
        self._queue: deque[tuple[asyncio.Future[Any], Callable[[], Any], int]] = deque()
        self._polls_due = 0  # before more work may run
        self._idle = True  # no work has run since the last poll

    async def run(self, work: Callable[[], _T], size: int) -> _T:
        """Run ``work`` on ``size`` characters when its turn comes, and return its result."""
        loop = asyncio.get_running_loop()
        if self._idle:
            self._idle = False
            self._polls_due = _POLLS if size > BUDGET else 0
            loop.call_soon(self._run_queued)
            return work()
        done = loop.create_future()
        self._queue.append((done, work, size))
        return await done

    async def wait_turn(self, size: int) -> None:
        """Wait for the turn of ``size`` characters of work; return at once if they are few."""
        if size > BUDGET:
            await self.run(_nothing, size)

    def _run_queued(self) -> None:
        """Run queued work within the budget, then let the loop poll the network."""
        if self._polls_due:
            self._polls_due -= 1
            asyncio.get_running_loop().call_soon(self._run_queued)
            return
        left = BUDGET
        while self._queue and left > 0:
            done, work, size = self._queue.popleft()
            if done.cancelled():  # the caller disconnected
                continue
            left -= max(size, 1)
            try:
                done.set_result(work())
            except Exception as error:  # raised in the caller of run()
                done.set_exception(error)
        self._polls_due = _POLLS if left < 0 else 0
        self._idle = left == BUDGET
        if not self._idle:
            asyncio.get_running_loop().call_soon(self._run_queued)


def _nothing() -> None:
    pass


def chunks(texts: list[str]) -> Iterator[list[str]]:
    """Split a list of texts into chunks of ``CHUNK`` characters; a longer text is a chunk alone."""
    start = size = 0
    for i, text in enumerate(texts):
        if i > start and size + len(text) > CHUNK:
            yield texts[start:i]
            start, size = i, 0
        size += len(text)
    yield texts[start:]
