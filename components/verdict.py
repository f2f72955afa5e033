"""The statistics of promotion: two classifiers on the same reviews, or one against the obvious."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

RESAMPLES = 10_000
CONFIDENCE = 0.95
GROSS = 3  # capability margins that are lost by no chance that would count


@dataclass(frozen=True)
class Limits:
    """What a challenger must show.

    ``margin`` is the loss of accuracy that nobody would mind; ``alpha`` the level of the test
    for a loss; ``min_accuracy`` a floor for the lower end of the interval of its accuracy;
    ``capability_margin`` the share of the cases of a capability that it may lose in any case.
    """

    margin: float = 0.01
    alpha: float = 0.05
    min_accuracy: float = 0.0
    capability_margin: float = 0.1


@dataclass(frozen=True)
class Verdict:
    passed: bool
    why: str
    figures: dict[str, float]

    def __and__(self, other: "Verdict") -> "Verdict":
        """Return the verdict that passes if both do, with the reasons for what it says."""
        passed = self.passed and other.passed
        said = [each.why for each in (self, other) if each.passed is passed]
        return Verdict(passed, "; ".join(said), self.figures | other.figures)


def first(labels: NDArray[np.int8], challenger: NDArray[np.bool_], limits: Limits) -> Verdict:
    """Judge a challenger that has no champion to beat.

    The Wilson interval of its accuracy must lie above the floor, and above what always answering
    the commoner label would get. ``challenger`` says for each review whether it was right.
    """
    interval = binomtest(int(challenger.sum()), len(labels)).proportion_ci(
        confidence_level=CONFIDENCE, method="wilson"
    )
    commoner = max(float(labels.mean()), 1 - float(labels.mean()))
    floor = max(commoner, limits.min_accuracy)
    figures = {
        "challenger_accuracy": float(challenger.mean()),
        "challenger_accuracy_low": float(interval.low),
        "floor": floor,
    }
    passed = bool(interval.low > floor)
    why = (
        f"accuracy {figures['challenger_accuracy']:.4f}, at least {interval.low:.4f} with 95%"
        f" confidence, is {'above' if passed else 'not above'} the floor of {floor:.4f}"
    )
    return Verdict(passed, why, figures)


def paired(champion: NDArray[np.bool_], challenger: NDArray[np.bool_], limits: Limits) -> Verdict:
    """Judge a challenger by the reviews on which only one of the two is right.

    It is refused when the exact McNemar test finds it worse, or when the bootstrap interval of
    the difference in accuracy leaves room for a loss of more than the margin.
    """
    rows = len(champion)
    gained = int((challenger & ~champion).sum())
    lost = int((champion & ~challenger).sum())
    difference = (gained - lost) / rows
    p_value = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    # a resample of rows is a draw from a multinomial over gained, lost and equal
    shares = [gained / rows, lost / rows, 1 - (gained + lost) / rows]
    draws = np.random.default_rng(0).multinomial(rows, shares, RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / rows, [tail, 1 - tail])
    worse = difference < 0 and p_value < limits.alpha
    unsure = bool(low < -limits.margin)
    figures = {
        "champion_accuracy": float(champion.mean()),
        "challenger_accuracy": float(challenger.mean()),
        "difference": difference,
        "difference_low": float(low),
        "difference_high": float(high),
        "p_value": float(p_value),
    }
    measured = (
        f"accuracy {figures['challenger_accuracy']:.4f} against {figures['champion_accuracy']:.4f},"
        f" difference {difference:+.4f} [{low:+.4f}, {high:+.4f}], McNemar p {p_value:.3g}"
    )
    if worse:
        return Verdict(False, f"worse: {measured}, alpha {limits.alpha}", figures)
    if unsure:
        return Verdict(False, f"may be worse: {measured}, margin {limits.margin}", figures)
    return Verdict(True, f"not worse: {measured}", figures)


def capabilities(
    champion: Mapping[str, Sequence[bool]], challenger: Mapping[str, Sequence[bool]], limits: Limits
) -> Verdict:
    """Judge a challenger by the behaviour that users know from the champion.

    Both say for each capability which of the same cases pass. One is lost when that costs more
    of its cases than ``capability_margin`` and the exact McNemar test, one-sided, does not put it
    down to chance; or costs ``GROSS`` times the margin, as a few cases can never exclude chance.

    With the usual limits, and where nothing is gained for it, that is 2 of 6 cases, 4 of 12, and
    5 of 24 as of 48: under five, the test never is sure. Against 1, 2 or 3 cases gained it takes
    7, 9 or 10 of 48 lost.
    """
    figures, lost = {}, []
    for name, outcomes in challenger.items():
        pairs = list(zip(champion[name], outcomes, strict=True))
        losses, gains = pairs.count((True, False)), pairs.count((False, True))
        figures[f"{name}_passed"] = rate = sum(outcomes) / len(pairs)
        allowed = limits.capability_margin * len(pairs)
        if losses - gains <= allowed:
            continue
        p_value = binomtest(losses, losses + gains, alternative="greater").pvalue
        if p_value < limits.alpha or losses - gains > GROSS * allowed:
            before = sum(champion[name]) / len(pairs)
            lost.append(f"{name} {rate:.0%} of cases against {before:.0%} (p {p_value:.2g})")
    why = f"loses {', '.join(lost)}" if lost else "loses no capability"
    return Verdict(not lost, why, figures)
