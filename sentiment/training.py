"""Fitting the classifier to rows in shards: how long to fit, and how sure to be of a score."""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from sklearn.metrics import log_loss

from sentiment import weighting
from sentiment.exact import Floats, sigmoid
from sentiment.model import NgramClassifier
from sentiment.regression import path, platt
from sentiment.rows import Shard, over


class Trial(NamedTuple):
    """What the validation rows say: the best number of iterations and how to calibrate after it.

    ``losses`` are the log losses after each iteration, ``accuracy`` that of the best.
    """

    iterations: int
    slope: float
    offset: float
    log_loss: float
    accuracy: float
    losses: list[float]


def attempt(
    classifier: NgramClassifier,
    train: Sequence[Shard],
    valid: Sequence[Shard],
    min_df: int,
    max_iterations: int,
) -> Trial:
    """Fit to ``train`` and leave in ``classifier`` what does best on ``valid``."""
    scale = _scale(classifier, train, min_df)
    labels = np.concatenate([shard()[1] for shard in valid])
    best: Trial | None = None
    losses: list[float] = []
    for linear in islice(path(train, scale), max_iterations):
        scores = np.concatenate(list(over(lambda shard, at=linear: at.score(shard()[0]), valid)))
        slope, offset = platt(scores, labels)
        p = sigmoid(slope * scores + offset)
        losses.append(float(log_loss(labels, p)))
        if best is None or losses[-1] < best.log_loss:
            accuracy = float(((p > 0.5) == labels).mean())
            best = Trial(len(losses), slope, offset, losses[-1], accuracy, losses)
            classifier.adopt(linear.calibrated(slope, offset))
    if best is None:
        raise ValueError("no n-gram tells the labels apart: nothing to learn")
    classifier.iterations = best.iterations
    return best


def fit(classifier: NgramClassifier, rows: Sequence[Shard], min_df: int, trial: Trial) -> None:
    """Fit ``classifier`` as ``trial`` found best."""
    for linear in islice(path(rows, _scale(classifier, rows, min_df)), trial.iterations):
        classifier.adopt(linear.calibrated(trial.slope, trial.offset))


def _scale(classifier: NgramClassifier, rows: Sequence[Shard], min_df: int) -> Floats:
    width = rows[0]()[0].shape[1]
    counted = weighting.frequencies(rows, width)
    given = classifier.alpha, classifier.ratio_power, classifier.idf_power
    return weighting.scale(counted, min_df, *given)
