"""Fit least squares by conjugate gradients, stopped early, with one pass over the rows a step.

The first steps use n-grams that many texts share, later steps rarer ones, so that the number of
steps is the regularisation. On reviews three steps beat logistic regression at any penalty. In
chemometrics the same coefficients are known as partial least squares with one response (Wold et
al. 1984; Phatak and de Hoog 2002 on the equality). Platt's (1999) sigmoid turns scores into
probabilities.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sentiment.exact import Floats, sigmoid, total
from sentiment.shards import Shard, parallel_map
from sentiment.weighting import TERM_FREQUENCY

_ROUNDING = 1e-24  # a squared norm, relative to the first, that is rounding error
_NEWTON_STEPS = 30
_RIDGE = 1e-6  # avoids a division by zero where all scores are equal


class Linear(NamedTuple):
    """The function ``terms(counts) @ weights / length + intercept`` of a row.

    ``length`` is the Euclidean length of the row with each column multiplied by its scale;
    ``squares`` has the squared scales. The score of a row of length 0 is the intercept.
    """

    weights: Floats
    squares: Floats
    intercept: float

    def score(self, counts: csr_array) -> Floats:
        terms = _terms(counts)
        scores: Floats = terms @ self.weights * _inverse_lengths(terms, self.squares)
        return scores + self.intercept

    def contributions(self, counts: csr_array) -> csr_array:
        """Return what each count adds to the score of its row, beside the intercept."""
        terms = _terms(counts)
        lengths = np.repeat(_inverse_lengths(terms, self.squares), np.diff(terms.indptr))
        values = terms.data * self.weights[terms.indices] * lengths
        return csr_array((values, terms.indices, terms.indptr), shape=terms.shape)

    def calibrated(self, slope: float, offset: float) -> "Linear":
        """Return the function whose score is ``slope * score + offset``."""
        return Linear(self.weights * slope, self.squares, self.intercept * slope + offset)


def least_squares_path(shards: Sequence[Shard], scale: Floats) -> Iterator[Linear]:
    """Yield the fit to the labels (0 or 1) after each iteration, until the residual is 0.

    Columns are multiplied by ``scale``, and rows normalised to length 1. The mean of each column
    is subtracted implicitly, so that the matrix stays sparse.
    """
    squares = scale * scale
    inverse, positive = [], 0.0
    mean, residual = np.zeros_like(scale), np.zeros_like(scale)
    for inverse_lengths, labels, columns, of_positive in parallel_map(
        partial(_start, squares), shards
    ):
        inverse.append(inverse_lengths)
        positive += labels
        mean += columns
        residual += of_positive
    rows = sum(map(len, inverse))
    mean *= scale / rows
    residual *= scale
    negligible = _ROUNDING * total(residual * residual)
    residual -= positive * mean
    weights, direction = np.zeros_like(scale), residual
    norm = total(residual * residual)
    while norm > negligible:
        product, scores = np.zeros_like(scale), 0.0
        for columns, sum_of_scores in parallel_map(
            partial(_step, scale * direction), shards, inverse
        ):
            product += columns
            scores += sum_of_scores
        product = product * scale - scores * mean
        curvature = total(direction * product)
        weights = weights + norm / curvature * direction
        residual = residual - norm / curvature * product
        norm, before = total(residual * residual), norm
        direction = residual + norm / before * direction
        yield Linear(weights * scale, squares, positive / rows - total(mean * weights))


def platt(scores: Floats, labels: NDArray[np.int8]) -> tuple[float, float]:
    """Return slope and offset that turn scores into log-odds, by Newton's method.

    The targets are not 0 and 1, but the estimates after one more text of each label (Platt 1999,
    "Probabilistic Outputs for Support Vector Machines"), which keeps the slope finite.
    """
    positive = int(labels.sum())
    negative = len(labels) - positive
    targets = np.where(labels == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    middle = total(scores) / len(scores)
    spread = float(np.sqrt(total((scores - middle) ** 2) / len(scores))) or 1.0
    x = (scores - middle) / spread
    slope, offset = 0.0, 0.0
    for _ in range(_NEWTON_STEPS):
        p = sigmoid(slope * x + offset)
        error, weight = p - targets, p * (1 - p)
        a, b, c = total(weight * x * x) + _RIDGE, total(weight * x), total(weight) + _RIDGE
        g, h = total(error * x), total(error)
        slope -= (c * g - b * h) / (a * c - b * b)
        offset -= (a * h - b * g) / (a * c - b * b)
    return slope / spread, offset - slope * middle / spread


def _start(squares: Floats, shard: Shard) -> tuple[Floats, float, Floats, Floats]:
    counts, labels = shard()
    terms = _terms(counts)
    inverse = _inverse_lengths(terms, squares)
    return inverse, float(labels.sum()), terms.T @ inverse, terms.T @ (labels * inverse)


def _step(scaled_direction: Floats, shard: Shard, inverse: Floats) -> tuple[Floats, float]:
    terms = _terms(shard()[0])
    scores = terms @ scaled_direction * inverse
    return terms.T @ (scores * inverse), total(scores)


def _terms(counts: csr_array) -> csr_array:
    weights = TERM_FREQUENCY[counts.data]
    return csr_array((weights, counts.indices, counts.indptr), shape=counts.shape)


def _inverse_lengths(terms: csr_array, squares: Floats) -> Floats:
    squared = csr_array((terms.data**2, terms.indices, terms.indptr), shape=terms.shape) @ squares
    return np.divide(1.0, np.sqrt(squared), out=np.zeros(len(squared)), where=squared > 0)
