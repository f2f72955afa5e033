"""Fit the classifier to rows in shards: find the number of iterations and the calibration."""

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment import regression, weighting
from sentiment.exact import class_probabilities
from sentiment.linear import Linear
from sentiment.regression import (
    Calibration,
    calibrate,
    inverse_lengths,
    least_squares_path,
)
from sentiment.shards import Shard, parallel_map
from sentiment.weighting import Frequencies

_EPSILON = np.finfo(float).eps  # the least probability whose logarithm is taken
_DIGITS = 12  # of a log loss: the 16th digit of NumPy's logarithm depends on the processor


class Weighting(NamedTuple):
    """The parameters of :func:`sentiment.weighting.scale`.

    ``allowed`` has False for each column with weight 0.
    """

    min_df: int
    alpha: float
    ratio_power: float
    idf_power: float
    allowed: NDArray[np.bool_]


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
    scale = _scale(weighting, counted or frequencies(weighting, train, classes))
    inverse = [*parallel_map(lambda shard: inverse_lengths(shard()[0], scale * scale), valid)]
    for linear in islice(least_squares_path(train, scale, classes), max_iterations):
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
    scale = _scale(weighting, frequencies(weighting, rows, classes))
    path = least_squares_path(rows, scale, classes)
    fitted = None
    for linear in islice(path, iterations):
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


def _score(linear: Linear, shard: Shard, inverse: NDArray[np.float64]) -> NDArray[np.float64]:
    return regression.score(linear, shard()[0], inverse)


def _scale(parameters: Weighting, counted: Frequencies) -> NDArray[np.float64]:
    return np.where(parameters.allowed, weighting.scale(counted, *parameters[:-1]), 0.0)
