"""Keep shards of rows in directories of ``.npy`` files, and process several at a time.

Files are mapped into memory for as long as they are in use.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sentiment import ngrams
from sentiment.merging import Loader
from sentiment.ngram_keys import Ints
from sentiment.ngrams import Counts

# Loads rows: counts of n-grams, shape (texts, columns), and the label of each text.
Shard = Callable[[], tuple[csr_array, NDArray[np.int8]]]
Result = TypeVar("Result")
_ROWS = ("starts", "columns", "counts", "labels")
# NumPy parses a file's header as Python syntax, and before Python 3.11.8 two threads that parse
# at once can end in a SystemError (https://github.com/python/cpython/issues/106905)
_one_header_at_a_time = Lock()


def write_counts(counts: Counts, labels: NDArray[np.int8], directory: Path) -> None:
    _write(directory, **counts._asdict(), labels=labels)


def counts_of(directory: Path) -> Loader:
    """Return a function that opens the counts that :func:`write_counts` wrote."""
    return partial(_open, directory)


def labels_of(directory: Path) -> NDArray[np.int8]:
    """Return the labels that :func:`write_counts` wrote."""
    (labels,) = _map(directory, ["labels"])
    return np.array(labels)


def write_rows(source: Path, index: dict[str, int], keys: Ints, directory: Path) -> None:
    """Write the counts in ``source``, reduced to the n-grams ``keys``."""
    matrix = ngrams.columns(_open(source), index, keys)
    rows = (matrix.indptr, matrix.indices, matrix.data, np.load(source / "labels.npy"))
    _write(directory, **dict(zip(_ROWS, rows, strict=True)))


def rows_of(directory: Path, width: int) -> Shard:
    """Return a function that loads the rows that :func:`write_rows` wrote.

    ``width`` is the number of columns of the matrix.
    """
    return partial(_read, directory, width)


def _open(directory: Path) -> Counts:
    return Counts(*_map(directory, Counts._fields))


def _read(directory: Path, width: int) -> tuple[csr_array, NDArray[np.int8]]:
    starts, columns, counts, labels = map(np.asarray, _map(directory, _ROWS))
    return csr_array((counts, columns, starts), shape=(len(labels), width)), np.array(labels)


def _map(directory: Path, names: Sequence[str]) -> list[NDArray[Any]]:
    with _one_header_at_a_time:
        return [np.load(directory / f"{name}.npy", mmap_mode="r") for name in names]


def _write(directory: Path, **arrays: NDArray[np.generic]) -> None:
    directory.mkdir()
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)


def parallel_map(function: Callable[..., Result], *sequences: Sequence[Any]) -> Iterator[Result]:
    """Yield ``map(function, *sequences)`` in order, computed on all cores.

    The order is fixed, so that a sum of the results has the same bits on any number of cores.
    """
    cores = cpu_count()
    with ThreadPoolExecutor(cores) as pool:  # NumPy and SciPy release the GIL
        for start in range(0, len(sequences[0]), cores):
            yield from pool.map(function, *(values[start : start + cores] for values in sequences))


def split_rows(matrix: csr_array, labels: NDArray[np.int8], rows: int = 5_000) -> list[Shard]:
    """Split a matrix in memory into shards of ``rows`` rows."""
    starts = range(0, len(labels), rows)
    pieces = [(matrix[start : start + rows], labels[start : start + rows]) for start in starts]
    return [partial(lambda piece: piece, piece) for piece in pieces]
