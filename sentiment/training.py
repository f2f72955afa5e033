"""Fit the classifier to rows in shards: find the number of iterations and the calibration."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment import regression, weighting
from sentiment.exact import class_probabilities
from sentiment.linear import Linear
from sentiment.negation import NO_OPPOSITES, Opposites
from sentiment.regression import (
    Calibration,
    calibrate,
    inverse_lengths,
    least_squares_path,
)
from sentiment.shards import Shard, parallel_map
from sentiment.weighting import Frequencies

_EPSILON = np.finfo(float).eps  # probabilities are kept this far from 0 and 1: a finite log loss
_DIGITS = 12  # of a log loss: the 16th digit of NumPy's logarithm depends on the processor


class Weighting(NamedTuple):
    """The parameters of :func:`sentiment.weighting.scale`.

    ``allowed`` has False for each column with weight 0, and ``opposites`` are those of
    :func:`sentiment.negation.opposites`.
    """

    min_df: int
    alpha: float
    ratio_power: float
    idf_power: float
    allowed: NDArray[np.bool_]
    opposites: Opposites = NO_OPPOSITES

    def path(
        self, rows: Sequence[Shard], classes: int, counted: Frequencies | None = None
    ) -> Iterator[Linear]:
        """Yield the fits to ``rows``; see :func:`sentiment.regression.least_squares_path`.

        ``counted`` has the frequencies in ``rows``, where they are known.
        """
        counted = counted or frequencies(self, rows, classes)
        factors = (self.min_df, self.alpha, self.ratio_power, self.idf_power)
        scale = np.where(self.allowed, weighting.scale(counted, *factors), 0.0)
        return least_squares_path(rows, scale, classes, self.opposites)


class Trial(NamedTuple):
    """The number of iterations with the least log loss on validation rows, and its calibration.

    ``log_loss`` and ``accuracy`` are of that number, ``losses`` has the log loss of each number.
    """

    iterations: int
    slope: Calibration
    offset: Calibration
    log_loss: float
    accuracy: float
    losses: list[float]


def attempt(
    weighting: Weighting,
    train: Sequence[Shard],
    valid: Sequence[Shard],
    max_iterations: int,
    classes: int = 2,
    counted: Frequencies | None = None,
) -> Trial:
    """Fit to ``train`` and return the best number of iterations on ``valid``.

    ``counted`` has the frequencies in ``train``, where they are known.

    Raises:
        ValueError: no n-gram correlates with the labels.
    """
    labels = np.concatenate([shard()[1] for shard in valid])
    best: Trial | None = None
    losses: list[float] = []
    inverse: list[NDArray[np.float64]] = []  # all fits of a path have the same squares
    for linear in islice(weighting.path(train, classes, counted), max_iterations):
        inverse = inverse or [*parallel_map(partial(_inverse, linear), valid)]
        score = partial(_score, linear)
        scores = np.concatenate([*parallel_map(score, valid, inverse)])
        slope, offset = calibrate(scores, labels, classes)
        p = class_probabilities(np.asarray(slope) * scores + np.asarray(offset))
        losses.append(round(log_loss(p, labels), _DIGITS))
        if best is None or losses[-1] < best.log_loss:
            accuracy = float((p.argmax(axis=1) == labels).mean())
            best = Trial(len(losses), slope, offset, losses[-1], accuracy, losses)
    if best is None:
        raise ValueError("no n-gram tells the labels apart: nothing to learn")
    return best


def fit(
    weighting: Weighting,
    rows: Sequence[Shard],
    iterations: int,
    slope: Calibration,
    offset: Calibration,
    classes: int = 2,
) -> Linear:
    """Fit to ``rows`` with the results of a :class:`Trial`.

    Other rows than those of the trial may be fitted after fewer iterations.

    Raises:
        ValueError: no n-gram correlates with the labels.
    """
    fitted = None
    for linear in islice(weighting.path(rows, classes), iterations):
        fitted = linear
    if fitted is None:
        raise ValueError("no n-gram tells the labels apart: nothing to learn")
    return regression.calibrated(fitted, slope, offset)


def log_loss(p: NDArray[np.float64], labels: NDArray[np.int8]) -> float:
    """Return the mean log loss of probabilities, shape (rows, classes)."""
    of_label = p[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(of_label, _EPSILON, 1 - _EPSILON)).mean())


def frequencies(parameters: Weighting, rows: Sequence[Shard], classes: int = 2) -> Frequencies:
    return weighting.frequencies(rows, len(parameters.allowed), classes)


def _inverse(linear: Linear, shard: Shard) -> NDArray[np.float64]:
    return inverse_lengths(shard()[0], linear.squares)


def _score(linear: Linear, shard: Shard, inverse: NDArray[np.float64]) -> NDArray[np.float64]:
    return regression.score(linear, shard()[0], inverse)
