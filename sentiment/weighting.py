"""Scale the columns: naive Bayes log-count ratio times inverse document frequency.

The ratio is that of Wang and Manning 2012, "Baselines and Bigrams: Simple, Good Sentiment and
Topic Classification". The regression finds the sign; exponents balance the two factors.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.exact import Floats, ln, power
from sentiment.shards import Shard, parallel_map

# Sublinear term frequency, by the count of an n-gram in a text: 1 + ln(count), and 0 for 0.
TERM_FREQUENCY = np.append(0.0, 1.0 + ln(np.arange(1, 256)))


class Frequencies(NamedTuple):
    """The number of texts, and for each column the numbers of texts and positive texts with it."""

    rows: int
    texts: NDArray[np.int64]
    positive: NDArray[np.int64]


def frequencies(shards: Sequence[Shard], width: int) -> Frequencies:
    """Count the texts with each column, over all shards; ``width`` is the number of columns."""
    rows, texts, positive = 0, np.zeros(width, np.int64), np.zeros(width, np.int64)
    for length, all_texts, of_positive in parallel_map(_frequencies, shards):
        rows += length
        texts += all_texts
        positive += of_positive
    return Frequencies(rows, texts, positive)


def _frequencies(shard: Shard) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    matrix, labels = shard()
    is_positive = np.repeat(labels == 1, np.diff(matrix.indptr))
    width = matrix.shape[1]
    return (
        len(labels),
        np.bincount(matrix.indices, minlength=width),
        np.bincount(matrix.indices[is_positive], minlength=width),
    )


def scale(
    counted: Frequencies, min_df: int, alpha: float, ratio_power: float, idf_power: float
) -> Floats:
    """Return the factor of each column, 0 for a column in fewer than ``min_df`` texts.

    ``alpha`` is added to each count of the ratio; the exponents are multiples of one half.
    """
    p = counted.positive + alpha
    q = counted.texts - counted.positive + alpha
    ratio = (ln(p) - ln(p.sum())) - (ln(q) - ln(q.sum()))
    idf = ln(1 + counted.rows) - ln(1 + counted.texts)
    factors = power(np.abs(ratio), ratio_power) * power(idf, idf_power)
    return np.where(counted.texts >= min_df, factors, 0.0)
