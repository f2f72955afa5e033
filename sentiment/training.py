"""Fitting the classifier to rows in shards: how long to fit, and how sure to be of a score."""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from sentiment import weighting
from sentiment.exact import sigmoid
from sentiment.regression import Linear, path, platt
from sentiment.shards import Shard, over

_DIGITS = 12  # of a log loss; NumPy's logarithm depends on the processor in the last of sixteen


class Weighting(NamedTuple):
    """How columns are weighed, see :func:`sentiment.weighting.scale`.

    ``allowed`` says which columns may have a weight at all.
    """

    min_df: int
    alpha: float
    ratio_power: float
    idf_power: float
    allowed: NDArray[np.bool_]


class Trial(NamedTuple):
    """What the validation rows say: the best number of iterations and how to calibrate after it.

    ``log_loss`` and ``accuracy`` are those of the best, ``losses`` the log losses of all.
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
    """Fit to ``train`` and say what does best on ``valid``.

    Raises:
        ValueError: there is nothing to learn.
    """
    labels = np.concatenate([shard()[1] for shard in valid])
    best: Trial | None = None
    losses: list[float] = []
    for linear in islice(path(train, _scale(weighting, train)), max_iterations):
        scores = np.concatenate(list(over(lambda shard, at=linear: at.score(shard()[0]), valid)))
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
    """Fit to ``rows`` as a trial found best."""
    fits = islice(path(rows, _scale(weighting, rows)), iterations - 1, iterations)
    return next(fits).calibrated(slope, offset)


def _scale(given: Weighting, rows: Sequence[Shard]) -> NDArray[np.float64]:
    counted = weighting.frequencies(rows, len(given.allowed))
    return np.where(given.allowed, weighting.scale(counted, *given[:-1]), 0.0)
