"""Scale the columns: naive Bayes log-count ratio times inverse document frequency.

The ratio is that of Wang and Manning 2012, "Baselines and Bigrams: Simple, Good Sentiment and
Topic Classification". The regression finds the sign; exponents balance the two factors. Of more
than two classes, that class counts whose ratio against all others is the largest.
"""

from collections.abc import Sequence
from functools import partial, reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.exact import Floats, ln, power
from sentiment.kernel import passes
from sentiment.shards import Shard, parallel_map


class Frequencies(NamedTuple):
    """The number of texts, and the numbers of texts with each column.

    ``texts`` is of all texts, shape (columns,), and ``of_class`` of those of each class, shape
    (classes, columns); of two classes it has the second alone, as the first is the rest.
    """

    rows: int
    texts: NDArray[np.int64]
    of_class: NDArray[np.int64]


def frequencies(shards: Sequence[Shard], width: int, classes: int = 2) -> Frequencies:
    """Count the texts with each column, over all shards; ``width`` is the number of columns."""
    labels = range(classes) if classes > 2 else (1,)
    rows, texts = 0, np.zeros(width, np.int64)
    of_class = np.zeros((len(labels), width), np.int64)
    for length, all_texts, of_each in parallel_map(partial(_frequencies, labels), shards):
        rows += length
        texts += all_texts
        of_class += of_each
    return Frequencies(rows, texts, of_class)


def _frequencies(
    labels: Sequence[int], shard: Shard
) -> tuple[int, NDArray[np.int64], list[NDArray[np.int64]]]:
    matrix, found = shard()
    if compiled := passes.of(matrix):
        counted = compiled.count_texts(matrix, found, labels[0], len(labels))
        return len(found), counted[:, 0], [*counted[:, 1:].T]
    passes.check(matrix)
    label_of, width = np.repeat(found, np.diff(matrix.indptr)), matrix.shape[1]
    of_class = [matrix.indices[label_of == label] for label in labels]
    texts, *counts = (
        np.bincount(columns, minlength=width) for columns in (matrix.indices, *of_class)
    )
    return len(found), texts, counts


def scale(
    counted: Frequencies, min_df: int, alpha: float, ratio_power: float, idf_power: float
) -> Floats:
    """Return the factor of each column, 0 for a column in fewer than ``min_df`` texts.

    ``alpha`` is added to each count of the ratio; the exponents are multiples of one half.
    """
    ratio = reduce(
        np.maximum, (_ratio(counted.texts, of_class, alpha) for of_class in counted.of_class)
    )
    idf = ln(1 + counted.rows) - _ln(counted.texts, 1)
    factors = power(ratio, ratio_power) * power(idf, idf_power)
    return np.where(counted.texts >= min_df, factors, 0.0)


def _ratio(texts: NDArray[np.int64], of_class: NDArray[np.int64], alpha: float) -> Floats:
    others = texts - of_class
    p, q = (of_class + alpha).sum(), (others + alpha).sum()
    return np.abs((_ln(of_class, alpha) - ln(p)) - (_ln(others, alpha) - ln(q)))


def _ln(counts: NDArray[np.int64], added: float) -> Floats:
    """Return the logarithm of each count with ``added``: of few distinct counts, in a table."""
    present = np.flatnonzero(np.bincount(counts, minlength=1))
    table = np.zeros(present[-1] + 1 if len(present) else 0)
    table[present] = ln(present + added)
    return table[counts]
