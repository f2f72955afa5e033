"""Schedule scoring on the event loop so that large requests do not delay small ones.

Texts are scored on the event loop itself. A scoring thread would hold the interpreter lock, and
each poll of the network would wait for it. Between two polls of the network, the scheduler runs a
few milliseconds of work at most: several small requests in a row, because the model then stays in
the processor's cache, or one piece of a large request.

Small predictions come first, in the order of their arrival. Large predictions and explanations take
turns, a piece each, and get half of the time where small predictions never stop waiting.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

from sentiment.steps import STEP, Steps, finish
from serving.work import Budget, Charge

BUDGET = 8_192  # characters, bytes or units of work between two polls of the network
CHUNK = 65_536  # ASCII characters scored together at most; more texts together are faster
_POLLS = 5  # after a large piece: a probe takes so many from its connection to its response
_T = TypeVar("_T")


class _Job(NamedTuple):
    done: asyncio.Future[Any]
    work: Callable[[], Any]
    size: int


class Scheduler:
    def __init__(self) -> None:
        self.budget = Budget()
        self._first: deque[_Job] = deque()  # small predictions
        self._later: deque[_Job] = deque()
        self._lead = 0.0  # seconds by which _later has had more time than _first, while both wait
        self._polls_due = 0  # before more work may run
        self._idle = True  # no work has run since the last poll

    async def run(self, work: Callable[[], _T], size: int) -> _T:
        """Run ``work`` on ``size`` characters when its turn comes, and return its result."""
        return await self._run_in(self._later if size > BUDGET else self._first, work, size)

    async def run_steps(self, steps: Steps[_T], charge: Charge) -> _T:
        """Run all steps, in pieces between which other work runs, and return their result."""
        if charge.left <= BUDGET:
            return await self._run_in(self._later, partial(finish, steps), charge.left)
        results: list[_T] = []
        while not results:
            piece = partial(self._run_piece, steps, charge, results)
            await self._run_in(self._later, piece, BUDGET + 1)
        return results[0]

    async def wait_turn(self, size: int) -> None:
        """Wait for the turn of ``size`` characters of work; return at once if they are few."""
        if size > BUDGET:
            await self.run(_nothing, size)

    async def _run_in(self, queue: deque[_Job], work: Callable[[], _T], size: int) -> _T:
        loop = asyncio.get_running_loop()
        if self._idle:
            self._idle = False
            self._polls_due = _POLLS if size > BUDGET else 0
            loop.call_soon(self._run_queued)
            return work()
        done = loop.create_future()
        queue.append(_Job(done, work, size))
        result: _T = await done
        return result

    def _run_piece(self, steps: Steps[_T], charge: Charge, results: list[_T]) -> None:
        """Run steps of ``STEP`` units together; append the result if these are the last."""
        began, size = perf_counter(), 0
        try:
            while size < STEP:
                size += next(steps)
        except StopIteration as end:
            results.append(end.value)
        charge.spend(size)
        self.budget.measure(size, perf_counter() - began)

    def _run_queued(self) -> None:
        """Run queued work within the budget, then let the loop poll the network."""
        began = perf_counter()
        if self._polls_due:
            self._polls_due -= 1
        elif self._first and (self._lead >= 0 or not self._later):
            self._run_from(self._first)
            self._lead -= perf_counter() - began
        elif self._later:
            self._run_from(self._later)
            self._lead += perf_counter() - began
        else:
            self._idle = True
            return
        if not self._first or not self._later:
            self._lead = 0.0
        asyncio.get_running_loop().call_soon(self._run_queued)

    def _run_from(self, queue: deque[_Job]) -> None:
        left = BUDGET
        while queue and left > 0:
            done, work, size = queue.popleft()
            if done.cancelled():  # the caller disconnected
                continue
            left -= max(size, 1)
            try:
                done.set_result(work())
            except Exception as error:  # raised in the caller of run()
                done.set_exception(error)
        self._polls_due = _POLLS if left < 0 else 0


def _nothing() -> None:
    pass


def chunks(texts: list[str]) -> Iterator[list[str]]:
    """Split a list of texts into chunks of ``CHUNK`` characters; a longer text is a chunk alone.

    A text that is not ASCII counts twice: each of its characters may be a token.
    """
    start = size = 0
    for i, text in enumerate(texts):
        weight = len(text) if text.isascii() else 2 * len(text)
        if i > start and size + weight > CHUNK:
            yield texts[start:i]
            start, size = i, 0
        size += weight
    yield texts[start:]
