"""Estimate the work of a request from its texts, and refuse large work beyond a budget.

The unit is that of :mod:`sentiment.steps`. Bytes tell little of the work: a character of a word
takes a tenth of the time of one that is a token by itself, such as an emoji, and an explanation
several times that of a prediction.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from sentiment.characters import INVISIBLE, MARKS, UNSPACED
from serving.errors import OverloadError

BUDGET = 4_000_000  # units, about a second
SMALL = 65_536  # characters of a small request, which is not limited but by its slot
_MAX_RETRY_AFTER = 10  # seconds
_SECONDS = 3e-7  # that a unit takes, until it has been measured
_SMOOTHING = 0.02  # weight of the latest measurement

_BLANK, _WORD, _JOINED, _TOKEN = range(4)  # a character that is joined to the one before it


def _kinds() -> NDArray[np.uint8]:
    """Return the kind of each character up to U+FFFF, which stands for all beyond it."""
    characters = "".join(map(chr, range(0x10000)))
    kinds = np.full(0x10000, _TOKEN, np.uint8)
    for kind, pattern in (
        (_BLANK, r"\s"),
        (_WORD, rf"[^\W{UNSPACED}]"),
        (_JOINED, f"[{MARKS}{INVISIBLE}]"),
    ):
        kinds[[match.start() for match in re.finditer(pattern, characters)]] = kind
    return kinds


_KINDS = _kinds()


def count_tokens(texts: Sequence[str]) -> int:
    """Return about as many as the tokens of the texts, in a hundredth of the tokenizer's time.

    Tags are counted as text.
    """
    codes = np.frombuffer(f" {' '.join(texts)}".encode("utf-32-le"), np.uint32)
    kinds = _KINDS.take(codes, mode="clip")
    apart = (kinds[:-1] == _BLANK) | (kinds[:-1] == _TOKEN)
    words = np.count_nonzero((kinds[1:] == _WORD) & apart)
    return int(words + np.count_nonzero(kinds == _TOKEN))


def of_prediction(texts: Sequence[str]) -> int:
    """Return the units that it takes to score the texts."""
    return sum(map(len, texts)) // 4 + count_tokens(texts)


def of_explanation(texts: Sequence[str], tokens: bool) -> int:
    """Return the units that it takes to explain the texts, and to write their tokens or not."""
    return sum(map(len, texts)) // 8 + (4 if tokens else 3) * count_tokens(texts) + 64 * len(texts)


class Charge:
    """The part of a request's work that is still to be done."""

    def __init__(self, budget: "Budget", units: int) -> None:
        self._budget = budget
        self.left = units
        budget.queued += units

    def spend(self, units: int) -> None:
        """Take work that is done off the charge, and off the budget."""
        units = min(units, self.left)
        self.left -= units
        self._budget.queued -= units


class Budget:
    """The work of large predictions and of explanations that is queued or being done.

    Large predictions are refused while half of ``BUDGET`` is queued, and so are small
    explanations; large explanations while a quarter is. A request may exceed the budget alone, so
    that the largest is served as well. Small predictions are never refused here: their slots
    bound them.
    """

    def __init__(self) -> None:
        self.queued = 0  # units
        self._seconds = _SECONDS  # a unit

    def check(self, large: bool, explain: bool) -> None:
        """Raise OverloadError if work of this kind would not be admitted now."""
        limit = BUDGET // (2 if large else 1) // (2 if explain else 1)
        if self.queued >= limit:
            seconds = self.queued * self._seconds
            retry_after = max(1, min(math.ceil(seconds), _MAX_RETRY_AFTER))
            raise OverloadError(
                f"{seconds:.1f} s of work are queued; try again in {retry_after} s", retry_after
            )

    @contextmanager
    def charge(self, units: int, large: bool, explain: bool = False) -> Iterator[Charge]:
        """Count work while the block runs, less what the charge has spent.

        Raises:
            OverloadError: too much work is queued; 503.
        """
        self.check(large, explain)
        charge = Charge(self, units)
        try:
            yield charge
        finally:
            charge.spend(charge.left)

    def measure(self, units: int, seconds: float) -> None:
        """Correct the time that a unit takes by that of some work."""
        self._seconds += _SMOOTHING * (seconds / max(units, 1) - self._seconds)
