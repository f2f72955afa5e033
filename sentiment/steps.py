"""Divide long work into steps, so that a server can do other work between them.

A generator yields the size of each step when it is done, and returns the result. The unit of a
size is the work on one token, about 0.3 us.
"""

from collections.abc import Generator
from typing import TypeVar

STEP = 2_048  # units; a step that cannot be divided may be larger
_T = TypeVar("_T")

Steps = Generator[int, None, _T]


def finish(steps: Steps[_T]) -> _T:
    """Take all steps in a row, and return their result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result
