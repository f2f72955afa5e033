"""Merge n-grams of shards with the compiled kernel."""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiment.kernel import library
from sentiment.ngram_keys import Ints, Rows

Frequencies = NDArray[np.int32]
Cells = tuple[
    Rows, Rows, NDArray[np.uint8]
]  # starts, columns and counts of sentiment.ngrams.Counts
DAMAGED = "the counts of a shard are damaged; run count again"


class Merges:
    """Does what :mod:`sentiment.merging` and :mod:`sentiment.ngrams` do with NumPy.

    Calls release the interpreter lock. Each raises a ValueError if values leave their arrays.
    """

    def __init__(self, compiled: ctypes.CDLL) -> None:
        self._compiled = compiled

    def translate(
        self, keys: Ints, frequencies: Frequencies, numbers: Ints
    ) -> tuple[Ints, Frequencies]:
        """Return the keys whose tokens have new numbers, with these, and their frequencies."""
        found, theirs = np.empty(len(keys), np.int64), np.empty(len(keys), np.int32)
        given = (keys, frequencies, len(keys), numbers, len(numbers))
        known = self._call("translate_keys", *given, found, theirs)
        return found[:known].copy(), theirs[:known].copy()

    def merge(
        self, keys: Sequence[Ints], frequencies: Sequence[Frequencies], min_df: int
    ) -> tuple[Ints, Ints]:
        """Return the keys of ascending runs with frequencies that add up to ``min_df`` or more."""
        ends = np.cumsum([len(run) for run in keys], dtype=np.int64)
        entries = int(ends[-1]) if len(ends) else 0
        merged, totals = np.empty(entries, np.int64), np.empty(entries, np.int64)
        runs = np.concatenate(keys), np.concatenate(frequencies), ends, len(ends)
        found = self._call("merge_runs", *runs, min_df, merged, totals)
        return merged[:found].copy(), totals[:found].copy()

    def find(self, keys: Ints, numbers: Ints, kept: Ints) -> Rows:
        """Return the position of each key in ``kept``, by the numbers of its tokens, or -1."""
        columns = np.empty(len(keys), np.int32)
        given = (keys, len(keys), numbers, len(numbers), kept, len(kept))
        self._call("find_columns", *given, columns)
        return columns

    def keep(self, cells: Cells, new_columns: Rows) -> Cells:
        """Return the cells with new columns, without those of column -1."""
        starts, columns, counts = cells
        entries = min(len(columns), len(counts))
        found = np.empty(len(starts), np.int32), np.empty(entries, np.int32)
        kept_counts = np.empty(entries, np.uint8)
        given = (starts, len(starts) - 1, columns, counts, entries, new_columns, len(new_columns))
        kept = self._call("keep_columns", *given, *found, kept_counts)
        return found[0], found[1][:kept].copy(), kept_counts[:kept].copy()

    def _call(self, name: str, *arguments: NDArray[Any] | int) -> int:
        function = getattr(self._compiled, name)
        function.restype = ctypes.c_int64
        given = [*map(_argument, arguments)]
        found: int = function(*(value for value, _ in given))
        if found == -2:
            raise MemoryError
        if found < 0:
            raise ValueError(DAMAGED)
        return found


def _argument(given: NDArray[Any] | int) -> tuple[ctypes.c_void_p | ctypes.c_int64, object]:
    """Return an argument of a function in C, and the object whose memory it needs."""
    if isinstance(given, int):
        return ctypes.c_int64(given), None
    array = np.ascontiguousarray(given)
    return ctypes.c_void_p(array.ctypes.data), array


@cache
def load() -> Merges | None:
    """Return the compiled functions, None where the kernel is not compiled."""
    compiled = library.load_unlocked()
    return Merges(compiled) if compiled else None
