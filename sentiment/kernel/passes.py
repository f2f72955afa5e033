"""Multiply the rows of a shard by vectors with the compiled kernel."""

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sentiment.exact import Floats
from sentiment.kernel import library
from sentiment.linear import TERM_FREQUENCY

DAMAGED = "a shard has an n-gram that is not in the matrix: damaged; run merge again"
_DTYPES = {"indptr": np.int32, "indices": np.int32, "data": np.uint8}


class _Rows(ctypes.Structure):
    """``Rows`` in fit.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("starts", "columns", "counts", "term_frequency")),
        *((name, ctypes.c_int64) for name in ("rows", "entries", "width")),
    ]


class Passes:
    """Products with the term frequencies of counts; ``functions`` are the values side by side.

    Calls release the interpreter lock. Each raises a ValueError if a row leaves the matrix.
    """

    def __init__(self, compiled: ctypes.CDLL) -> None:
        self._compiled = compiled

    def squared_lengths(self, counts: csr_array, squares: Floats) -> Floats:
        """Return for each row the sum of its squared terms times the squares of their columns."""
        lengths = np.empty(counts.shape[0])
        self._call("squared_lengths", counts, np.ascontiguousarray(squares), lengths)
        return lengths

    def product(self, counts: csr_array, weights: Floats) -> Floats:
        """Return ``terms @ weights``, shape (rows,) or (rows, functions)."""
        weights = np.ascontiguousarray(weights)
        sums = np.empty((counts.shape[0], *weights.shape[1:]))
        self._call("product", counts, weights, _functions(weights), sums)
        return sums

    def transposed_product(self, counts: csr_array, values: Floats) -> Floats:
        """Return ``terms.T @ values``, shape (columns,) or (columns, functions)."""
        values = np.ascontiguousarray(values)
        sums = np.zeros((counts.shape[1], *values.shape[1:]))
        self._call("transposed_product", counts, values, _functions(values), sums)
        return sums

    def step(self, counts: csr_array, weights: Floats, inverse: Floats) -> tuple[Floats, Floats]:
        """Return ``terms.T @ (scores * inverse)`` and the scores ``terms @ weights * inverse``."""
        both = np.empty((len(weights), 2, *weights.shape[1:]))
        both[:, 0], both[:, 1] = weights, 0.0
        scores = np.empty((counts.shape[0], *weights.shape[1:]))
        self._call("step", counts, inverse, _functions(weights), both, scores)
        return both[:, 1], scores

    def count_texts(
        self, counts: csr_array, labels: NDArray[np.int8], first: int, classes: int
    ) -> NDArray[np.int64]:
        """Return the number of texts with each column, and with the labels from ``first`` on.

        The shape is (columns, 1 + classes).
        """
        texts = np.zeros((counts.shape[1], 1 + classes), np.int64)
        labels = np.ascontiguousarray(labels, np.int8)
        limits = ctypes.c_int64(first), ctypes.c_int64(classes)
        self._call("count_texts", counts, labels, *limits, texts)
        return texts

    def _call(self, name: str, counts: csr_array, *arguments: Any) -> None:
        arrays = [np.ascontiguousarray(getattr(counts, each)) for each in _DTYPES]
        addresses = (each.ctypes.data for each in (*arrays, TERM_FREQUENCY))
        entries = min(len(arrays[1]), len(arrays[2]))
        rows = _Rows(*addresses, counts.shape[0], entries, counts.shape[1])
        given = (
            ctypes.c_void_p(each.ctypes.data) if isinstance(each, np.ndarray) else each
            for each in arguments
        )
        function = getattr(self._compiled, name)
        function.restype = ctypes.c_int64
        if function(ctypes.byref(rows), *given):
            raise ValueError(DAMAGED)


def _functions(values: Floats) -> ctypes.c_int64:
    return ctypes.c_int64(values.shape[1] if values.ndim > 1 else 1)


@cache
def load() -> Passes | None:
    """Return the compiled passes, None where the kernel is not compiled."""
    compiled = library.load_unlocked()
    return Passes(compiled) if compiled else None


def check(counts: csr_array) -> None:
    """Check for SciPy, which does not, that the rows stay in the matrix.

    Raises:
        ValueError: a row leaves it.
    """
    columns, starts = counts.indices, counts.indptr
    inside = not len(columns) or 0 <= columns.min() <= columns.max() < counts.shape[1]
    if not inside or (starts[1:] < starts[:-1]).any():
        raise ValueError(DAMAGED)


def of(counts: csr_array) -> Passes | None:
    """Return the compiled passes, None without the kernel or for counts of other types."""
    fits = all(getattr(counts, name).dtype == dtype for name, dtype in _DTYPES.items())
    return load() if fits else None
