"""Whose turn it is on the event loop, so that much work does not hold up little.

Texts are scored on the loop itself. There is one interpreter lock: next to a thread that works,
each look at the network waits for it. So work comes in pieces, first come first served, and between
two looks at the network no more of it is done than takes a few milliseconds; in a row, because the
model stays in the processor's cache meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

PASS = 8_192  # characters, or bytes, of work between two looks at the network
PIECE = 65_536  # characters scored in one go at most; more texts at a time are quicker
_LOOKS = 5  # behind a large piece: from its connection to its answer a probe takes so many
_T = TypeVar("_T")


class Turns:
    def __init__(self) -> None:
        self._waiting: deque[tuple[asyncio.Future[Any], Callable[[], Any], int]] = deque()
        self._looks = 0  # at the network, that are due before more work is done
        self._looked = True  # since work was done

    async def run(self, work: Callable[[], _T], size: int) -> _T:
        """Return what ``work`` on ``size`` characters returns, done when it is its turn."""
        loop = asyncio.get_running_loop()
        if self._looked:
            self._looked = False
            self._looks = _LOOKS if size > PASS else 0
            loop.call_soon(self._next)
            return work()
        done = loop.create_future()
        self._waiting.append((done, work, size))
        return await done

    async def wait(self, size: int) -> None:
        """Return when it is the turn of work that takes longer than the network may wait."""
        if size > PASS:
            await self.run(_nothing, size)

    def _next(self) -> None:
        """Do what the next look at the network can wait for."""
        if self._looks:
            self._looks -= 1
            asyncio.get_running_loop().call_soon(self._next)
            return
        left = PASS
        while self._waiting and left > 0:
            done, work, size = self._waiting.popleft()
            if done.cancelled():  # its caller has gone
                continue
            left -= max(size, 1)
            try:
                done.set_result(work())
            except Exception as error:  # it is for whoever waits for this work
                done.set_exception(error)
        self._looks = _LOOKS if left < 0 else 0
        self._looked = left == PASS
        if not self._looked:
            asyncio.get_running_loop().call_soon(self._next)


def _nothing() -> None:
    pass


def pieces(texts: list[str]) -> Iterator[list[str]]:
    """Cut a list of texts where the next text would make a piece too large."""
    start = size = 0
    for i, text in enumerate(texts):
        if i > start and size + len(text) > PIECE:
            yield texts[start:i]
            start, size = i, 0
        size += len(text)
    yield texts[start:]
