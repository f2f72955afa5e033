"""Fit the classifier to rows in shards: find the number of iterations and the calibration."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from sentiment import regression, weighting
from sentiment.exact import class_probabilities
from sentiment.linear import Linear
from sentiment.negation import NO_OPPOSITES, Opposites
from sentiment.regression import Calibration, calibrate, least_squares_path
from sentiment.shards import Shard, parallel_map

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

    def path(self, rows: Sequence[Shard], classes: int) -> Iterator[Linear]:
        """Yield the fits to ``rows``; see :func:`sentiment.regression.least_squares_path`."""
        counted = weighting.frequencies(rows, len(self.allowed), classes)
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
) -> Trial:
    """Fit to ``train`` and return the best number of iterations on ``valid``.

    Raises:
        ValueError: no n-gram correlates with the labels.
    """
    labels = np.concatenate([shard()[1] for shard in valid])
    best: Trial | None = None
    losses: list[float] = []
    for linear in islice(weighting.path(train, classes), max_iterations):
        scores = np.concatenate(
            list(parallel_map(lambda shard, at=linear: regression.score(at, shard()[0]), valid))
        )
        slope, offset = calibrate(scores, labels, classes)
        p = class_probabilities(np.asarray(slope) * scores + np.asarray(offset))
        losses.append(round(float(log_loss(labels, p, labels=range(classes))), _DIGITS))
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
