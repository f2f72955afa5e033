"""Fit the classifier to rows in shards: find the number of iterations and the calibration."""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from sentiment import weighting
from sentiment.exact import sigmoid
from sentiment.regression import Linear, least_squares_path, platt
from sentiment.shards import Shard, parallel_map

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
    slope: float
    offset: float
    log_loss: float
    accuracy: float
    losses: list[float]


def attempt(
    weighting: Weighting, train: Sequence[Shard], valid: Sequence[Shard], max_iterations: int
) -> Trial:
    """Fit to ``train`` and return the best number of iterations on ``valid``.

    Raises:
        ValueError: no n-gram correlates with the labels.
    """
    labels = np.concatenate([shard()[1] for shard in valid])
    best: Trial | None = None
    losses: list[float] = []
    for linear in islice(least_squares_path(train, _scale(weighting, train)), max_iterations):
        scores = np.concatenate(
            list(parallel_map(lambda shard, at=linear: at.score(shard()[0]), valid))
        )
        slope, offset = platt(scores, labels)
        p = sigmoid(slope * scores + offset)
        losses.append(round(float(log_loss(labels, p, labels=[0, 1])), _DIGITS))
        if best is None or losses[-1] < best.log_loss:
            accuracy = float(((p > 0.5) == labels).mean())
            best = Trial(len(losses), slope, offset, losses[-1], accuracy, losses)
    if best is None:
        raise ValueError("no n-gram tells the labels apart: nothing to learn")
    return best


def fit(
    weighting: Weighting, rows: Sequence[Shard], iterations: int, slope: float, offset: float
) -> Linear:
    """Fit to ``rows`` with the results of a :class:`Trial`."""
    fits = islice(least_squares_path(rows, _scale(weighting, rows)), iterations - 1, iterations)
    return next(fits).calibrated(slope, offset)


def _scale(parameters: Weighting, rows: Sequence[Shard]) -> NDArray[np.float64]:
    counted = weighting.frequencies(rows, len(parameters.allowed))
    return np.where(parameters.allowed, weighting.scale(counted, *parameters[:-1]), 0.0)
