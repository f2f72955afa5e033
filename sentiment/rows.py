"""Rows in shards: a pass over them uses the processor's cores and holds few shards in memory."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from scipy.sparse import csr_array

# Brings rows into memory: counts of n-grams, shape (texts, columns), and the label of each text.
Shard = Callable[[], tuple[csr_array, NDArray[np.int8]]]
Result = TypeVar("Result")


def over(function: Callable[..., Result], *sequences: Sequence[Any]) -> Iterator[Result]:
    """Yield what ``map(function, *sequences)`` would, computed as many at a time as cores.

    Who adds the results up gets the same sum, to the last bit, on any number of cores.
    """
    cores = cpu_count()
    with ThreadPoolExecutor(cores) as pool:  # NumPy and SciPy let go of the interpreter's lock
        for start in range(0, len(sequences[0]), cores):
            yield from pool.map(function, *(each[start : start + cores] for each in sequences))


def cut(matrix: csr_array, labels: NDArray[np.int8], rows: int = 5_000) -> list[Shard]:
    """Return shards of rows that are in memory."""
    starts = range(0, len(labels), rows)
    pieces = [(matrix[start : start + rows], labels[start : start + rows]) for start in starts]
    return [partial(lambda piece: piece, piece) for piece in pieces]
