"""Fit least squares by conjugate gradients, stopped early, with one pass over the rows a step.

The first steps use n-grams that many texts share, later steps rarer ones, so that the number of
steps is the regularisation. On reviews three steps beat logistic regression at any penalty. In
chemometrics the same coefficients are known as partial least squares with one response (Wold et
al. 1984; Phatak and de Hoog 2002 on the equality). Platt's (1999) sigmoid turns scores into
probabilities.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sentiment.exact import Floats, sigmoid, total
from sentiment.kernel import passes
from sentiment.linear import TERM_FREQUENCY, Linear
from sentiment.negation import NO_OPPOSITES, Opposites
from sentiment.shards import Shard, parallel_map

# slope and offset of scores: a number, or one for each of more than two classes
Calibration = float | tuple[float, ...]
_ROUNDING = 1e-24  # a squared norm, relative to the first, that is rounding error
_NEWTON_STEPS = 30
_RIDGE = 1e-6  # avoids a division by zero where all scores are equal


def score(linear: Linear, counts: csr_array, inverse: Floats | None = None) -> Floats:
    """Return the scores of the rows of ``counts``; see :class:`sentiment.linear.Linear`.

    ``inverse`` has the result of :func:`inverse_lengths`, where it is known.
    """
    if inverse is None:
        inverse = inverse_lengths(counts, linear.squares)
    compiled = passes.of(counts)
    product = compiled.product if compiled else _product
    return _by_row(product(counts, linear.weights), inverse) + linear.intercept


def inverse_lengths(counts: csr_array, squares: Floats) -> Floats:
    """Return one divided by the length of each row, 0 for a row of length 0."""
    compiled = passes.of(counts)
    squared = (compiled.squared_lengths if compiled else _squared_lengths)(counts, squares)
    return np.divide(1.0, np.sqrt(squared), out=np.zeros(len(squared)), where=squared > 0)


def contributions(linear: Linear, counts: csr_array, label: int = 1) -> csr_array:
    """Return what each count adds to the score of its row for a class, beside the intercept."""
    terms = _terms(counts)
    lengths = np.repeat(inverse_lengths(counts, linear.squares), np.diff(terms.indptr))
    values = terms.data * linear.toward(linear.weights[terms.indices], label) * lengths
    return csr_array((values, terms.indices, terms.indptr), shape=terms.shape)


def calibrated(linear: Linear, slope: Calibration, offset: Calibration) -> Linear:
    """Return the function whose score is ``slope * score + offset``.

    Both are a number for one function, and have a number for each of several.
    """
    slopes, offsets = np.asarray(slope), np.asarray(offset)
    intercept = linear.intercept * slopes + offsets
    return Linear(linear.weights * slopes, linear.squares, intercept)


def least_squares_path(
    shards: Sequence[Shard], scale: Floats, classes: int = 2, opposites: Opposites = NO_OPPOSITES
) -> Iterator[Linear]:
    """Yield the fit to the labels after each iteration, until the residual is 0.

    Columns are multiplied by ``scale``, and rows normalised to length 1. The mean of each column
    is subtracted implicitly, so that the matrix stays sparse. The functions of more than two
    classes are fitted in the same passes over the rows. The weight of a marked column is minus that
    of its opposite: a marked word counts as minus one of the word.
    """
    marked, plain = opposites
    scale = scale.copy()
    scale[marked] = 0.0

    def collect(columns: Floats) -> Floats:
        """Return sums over rows by column as those by coefficient, the transpose of ``spread``."""
        columns[plain] -= columns[marked]
        return _by_row(columns, scale)

    def spread(coefficients: Floats) -> Floats:
        """Return the weights of the columns."""
        weights = _by_row(coefficients, scale)
        weights[marked] = -weights[plain]
        return weights

    squares = scale * scale
    squares[marked] = squares[plain]
    shape = scale.shape if classes == 2 else (len(scale), classes)
    inverse, texts = [], np.zeros(shape[1:])
    mean, residual = np.zeros_like(scale), np.zeros(shape)
    for inverse_lengths, of_class, columns, columns_of_class in parallel_map(
        partial(_start, squares, classes), shards
    ):
        inverse.append(inverse_lengths)
        texts += of_class
        mean += columns
        residual += columns_of_class
    rows = sum(map(len, inverse))
    mean[plain] -= mean[marked]
    mean *= scale / rows
    residual = collect(residual)
    negligible = _ROUNDING * total(residual * residual)
    residual -= np.multiply.outer(mean, texts)
    weights, direction = np.zeros(shape), residual
    norm = total(residual * residual)
    while (norm > negligible).any():
        product, scores = np.zeros(shape), np.zeros(shape[1:])
        for columns, sum_of_scores in parallel_map(
            partial(_step, spread(direction)), shards, inverse
        ):
            product += columns
            scores += sum_of_scores
        product = collect(product) - np.multiply.outer(mean, scores)
        # a class that is fitted before the others stays as it is
        length = _divide(norm, total(direction * product), norm > negligible)
        weights = weights + length * direction
        residual = residual - length * product
        norm, before = total(residual * residual), norm
        direction = residual + _divide(norm, before, before > negligible) * direction
        intercept = texts / rows - total(_by_row(weights, mean))
        yield Linear(spread(weights), squares, intercept)


def calibrate(
    scores: Floats, labels: NDArray[np.int8], classes: int = 2
) -> tuple[Calibration, Calibration]:
    """Return slope and offset of :func:`platt`, or a tuple of each of more than two classes."""
    if classes == 2:
        return platt(scores, labels)
    found = [platt(scores[:, label], labels == label) for label in range(classes)]
    slopes, offsets = zip(*found, strict=True)
    return slopes, offsets


def platt(scores: Floats, labels: NDArray[np.int8] | NDArray[np.bool_]) -> tuple[float, float]:
    """Return slope and offset that turn scores into log-odds of label 1, by Newton's method.

    The targets are not 0 and 1, but the estimates after one more text of each label (Platt 1999,
    "Probabilistic Outputs for Support Vector Machines"), which keeps the slope finite.
    """
    positive = int(labels.sum())
    negative = len(labels) - positive
    targets = np.where(labels == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    middle = float(total(scores)) / len(scores)
    spread = float(np.sqrt(total((scores - middle) ** 2) / len(scores))) or 1.0
    x = (scores - middle) / spread
    slope, offset = 0.0, 0.0
    for _ in range(_NEWTON_STEPS):
        p = sigmoid(slope * x + offset)
        error, weight = p - targets, p * (1 - p)
        a, b, c = (float(total(each)) for each in (weight * x * x, weight * x, weight))
        a, c = a + _RIDGE, c + _RIDGE
        g, h = float(total(error * x)), float(total(error))
        slope -= (c * g - b * h) / (a * c - b * b)
        offset -= (a * h - b * g) / (a * c - b * b)
    return slope / spread, offset - slope * middle / spread


def _start(squares: Floats, classes: int, shard: Shard) -> tuple[Floats, Floats, Floats, Floats]:
    counts, labels = shard()
    targets = labels.astype(float)
    if classes > 2:
        targets = (labels[:, np.newaxis] == np.arange(classes)).astype(float)
    inverse = inverse_lengths(counts, squares)
    values = np.column_stack([inverse, _by_row(targets, inverse)])
    compiled = passes.of(counts)
    columns = (compiled.transposed_product if compiled else _transposed_product)(counts, values)
    return inverse, total(targets), columns[:, 0], columns[:, 1 if classes == 2 else slice(1, None)]


def _step(scaled_direction: Floats, shard: Shard, inverse: Floats) -> tuple[Floats, Floats]:
    counts = shard()[0]
    if compiled := passes.of(counts):
        columns, scores = compiled.step(counts, scaled_direction, inverse)
    else:
        scores = _by_row(_product(counts, scaled_direction), inverse)
        columns = _transposed_product(counts, _by_row(scores, inverse))
    return columns, total(scores)


def _by_row(values: Floats, factors: Floats) -> Floats:
    """Multiply each row of ``values``, shape (rows,) or (rows, classes), by its factor."""
    product: Floats = (values.T * factors).T
    return product


def _divide(above: Floats, below: Floats, where: NDArray[np.bool_]) -> Floats:
    """Return the quotients, 0 elsewhere."""
    return np.divide(above, below, out=np.zeros_like(above), where=where)


# what the kernel does, with SciPy


def _product(counts: csr_array, weights: Floats) -> Floats:
    product: Floats = _terms(counts) @ weights
    return product


def _transposed_product(counts: csr_array, values: Floats) -> Floats:
    product: Floats = _terms(counts).T @ values
    return product


def _squared_lengths(counts: csr_array, squares: Floats) -> Floats:
    terms = _terms(counts)
    terms.data **= 2
    squared: Floats = terms @ squares
    return squared


def _terms(counts: csr_array) -> csr_array:
    passes.check(counts)
    weights = TERM_FREQUENCY[counts.data]
    return csr_array((weights, counts.indices, counts.indptr), shape=counts.shape)
