"""Estimate accuracy from the labels of a stratified sample, with a 95% interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import betaincinv

from components.labelling.live import Interval

_TAILS = (0.025, 0.975)
_PRIOR = 0.5  # of right and of wrong labels: that of Jeffreys


@dataclass(frozen=True)
class Cell:
    """A stratum: all of its captured predictions, those that have a label, and those of them right.

    ``sample`` is the share of all predictions that were captured.
    """

    captured: int
    labels: int
    right: int
    sample: float = 1.0


def accuracy(cells: Sequence[Cell]) -> Interval | None:
    """Return the accuracy of all predictions that were served, None if there is no label.

    Each stratum counts by its share of the predictions served, not of the labels. The posterior of
    its accuracy is a Beta distribution by the prior of Jeffreys (Brown, Cai and DasGupta 2001,
    "Interval Estimation for a Binomial Proportion"). Its variance is multiplied by the share that
    has no label: nothing is uncertain about what is labelled. A Beta distribution of the same mean
    and variance stands for the weighted sum. The variance includes that of capturing a part of all
    requests (two-phase sampling: Cochran 1977, "Sampling Techniques", chapter 12), as if each
    prediction were captured by itself. A stratum without a label may be all wrong or all right.

    ``python -m benchmarks.live_accuracy`` has the shares of intervals that cover the truth.
    """
    served = [cell.captured / cell.sample for cell in cells]
    known = sum(each for each, cell in zip(served, cells, strict=True) if cell.labels)
    if not known:
        return None
    value = mean = variance = dropped = 0.0
    for each, cell in zip(served, cells, strict=True):
        if not cell.labels:
            continue
        weight, wrong = each / known, cell.labels - cell.right
        value += weight * cell.right / cell.labels
        a, b = cell.right + _PRIOR, wrong + _PRIOR
        expected = a / (a + b)
        mean += weight * expected
        left = 1 - cell.labels / cell.captured
        variance += weight**2 * left * expected * (1 - expected) / (a + b + 1)
        dropped += weight**2 * (1 - cell.sample) / cell.captured
    variance += dropped * mean * (1 - mean)
    low, high = _interval(value, mean, variance)
    unknown = 1 - known / sum(served)
    return Interval(
        value=value,
        low=low * (1 - unknown),
        high=high * (1 - unknown) + unknown,
        labels=sum(cell.labels for cell in cells),
    )


def ratio(right: Sequence[bool], weights: Sequence[float]) -> Interval | None:
    """Return the weighted share of right predictions, None if there is none.

    For a class by its label: how many of it were captured is not known. The interval is that of
    Jeffreys for the number of labels that, equally weighted, would tell as much (Kish 1965, "Survey
    Sampling").
    """
    total = sum(weights)
    if not total:
        return None
    value = sum(weight for each, weight in zip(right, weights, strict=True) if each) / total
    labels = total**2 / sum(weight**2 for weight in weights)
    a, b = value * labels + _PRIOR, (1 - value) * labels + _PRIOR
    low, high = (float(betaincinv(a, b, tail)) for tail in _TAILS)
    return Interval(value=value, low=min(low, value), high=max(high, value), labels=len(right))


def _interval(value: float, mean: float, variance: float) -> tuple[float, float]:
    if variance <= 0:  # all predictions were captured and have a label
        return value, value
    size = mean * (1 - mean) / variance - 1
    low, high = (float(betaincinv(mean * size, (1 - mean) * size, tail)) for tail in _TAILS)
    return min(low, value), max(high, value)
