"""Shards in directories of ``.npy`` files: counts of n-grams, and rows of the matrix to fit.

What is read in part is mapped into memory, and what is read whole is copied, so that memory holds
what is in use and no more.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sentiment import ngrams
from sentiment.merging import Loader
from sentiment.ngrams import Counts, Ints

# Brings rows into memory: counts of n-grams, shape (texts, columns), and the label of each text.
Shard = Callable[[], tuple[csr_array, NDArray[np.int8]]]
Result = TypeVar("Result")
_ROWS = ("starts", "columns", "counts", "labels")


def write_counts(counts: Counts, labels: NDArray[np.int8], directory: Path) -> None:
    _write(directory, **counts._asdict(), labels=labels)


def counts_of(directory: Path) -> Loader:
    """Return what opens the counts that :func:`write_counts` wrote."""
    return partial(_open, directory)


def write_rows(source: Path, index: dict[str, int], keys: Ints, directory: Path) -> None:
    """Write the counts in ``source`` of the n-grams ``keys`` alone."""
    matrix = ngrams.columns(_open(source), index, keys)
    rows = (matrix.indptr, matrix.indices, matrix.data, np.load(source / "labels.npy"))
    _write(directory, **dict(zip(_ROWS, rows, strict=True)))


def rows_of(directory: Path, width: int) -> Shard:
    """Return what reads the rows that :func:`write_rows` wrote; ``width`` is that of the matrix."""
    return partial(_read, directory, width)


def _open(directory: Path) -> Counts:
    return Counts(*(np.load(directory / f"{name}.npy", mmap_mode="r") for name in Counts._fields))


def _read(directory: Path, width: int) -> tuple[csr_array, NDArray[np.int8]]:
    starts, columns, counts, labels = (np.load(directory / f"{name}.npy") for name in _ROWS)
    return csr_array((counts, columns, starts), shape=(len(labels), width)), labels


def _write(directory: Path, **arrays: NDArray[np.generic]) -> None:
    directory.mkdir()
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)


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
