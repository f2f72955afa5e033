"""The statistical checks of promotion: challenger and champion on the same test reviews."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictBool
from scipy.stats import binomtest

from components import lineage, noninferiority
from components.io.records import record
from components.stage import parameters

RESAMPLES = 10_000
CONFIDENCE = 0.95
GROSS = 3  # margins; a larger loss of a capability needs no significance test


@parameters
class GateLimits:
    """Limits of the gate's checks."""

    margin: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Loss of accuracy that is acceptable, against the best version so far.",
    )
    alpha: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="Level of each test for a loss, and of all looks at a test set together.",
    )
    min_accuracy: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Floor for the accuracy, the lower end of its interval.",
    )
    capability_margin: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the cases of a capability whose loss is always acceptable.",
    )
    part_margin: float = Field(
        default=0.03,
        ge=0,
        le=1,
        description="Loss of accuracy within a class or a slice that is acceptable.",
    )
    looks: int = Field(
        default=50,
        ge=1,
        description="Challengers that one test set judges before a new one is due.",
    )


@dataclass(frozen=True)
class Check:
    """The result of one check of a challenger, with its reason and figures."""

    passed: bool
    why: str
    figures: dict[str, float]

    def __and__(self, other: "Check") -> "Check":
        """Return a check that passes if both do, with the reasons for its outcome."""
        passed = self.passed and other.passed
        reasons = [check.why for check in (self, other) if check.passed is passed and check.why]
        return Check(passed, "; ".join(reasons), self.figures | other.figures)


@record
class GateVerdict:
    """The verdict on a version: passed, refused or unchanged.

    ``champion`` and ``anchor`` are the versions that it was compared with, or ``none``; ``look`` is
    the number of the challengers that the test set has judged with this one. ``advice`` says when a
    new test set is due.
    """

    name: str
    version: str
    champion: str
    outcome: Literal["passed", "refused", "unchanged"]
    passed: StrictBool
    why: str
    figures: dict[str, float]
    anchor: str = "none"
    look: int = 0
    advice: str = ""


def floor(labels: NDArray[np.int8], challenger: NDArray[np.bool_], limits: GateLimits) -> Check:
    """Judge the accuracy alone.

    Its Wilson interval must lie above the floor, and above the accuracy of always answering the
    commonest label. ``challenger`` says for each review whether it was right.
    """
    interval = binomtest(int(challenger.sum()), len(labels)).proportion_ci(
        confidence_level=CONFIDENCE, method="wilson"
    )
    commonest = float(np.bincount(labels).max() / len(labels))
    least = max(commonest, limits.min_accuracy)
    figures = {
        "challenger_accuracy": float(challenger.mean()),
        "challenger_accuracy_low": float(interval.low),
        "floor": least,
    }
    passed = bool(interval.low > least)
    why = (
        f"accuracy {figures['challenger_accuracy']:.4f}, at least {interval.low:.4f} with 95%"
        f" confidence, is {'above' if passed else 'not above'} the floor of {least:.4f}"
    )
    return Check(passed, why, figures)


def not_worse(
    champion: NDArray[np.bool_], challenger: NDArray[np.bool_], limits: GateLimits
) -> Check:
    """Judge a challenger by the reviews on which only one of the two models is right.

    The challenger is refused when the exact McNemar test finds it worse, by however little.
    """
    rows = len(champion)
    gained, lost = _differing(champion, challenger)
    difference = (gained - lost) / rows
    p_value = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    # a resample of rows is a draw from a multinomial over gained, lost and equal
    shares = [gained / rows, lost / rows, 1 - (gained + lost) / rows]
    draws = np.random.default_rng(0).multinomial(rows, shares, RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / rows, [tail, 1 - tail])
    figures = {
        "champion_accuracy": float(champion.mean()),
        "challenger_accuracy": float(challenger.mean()),
        "difference": difference,
        "difference_low": float(low),
        "difference_high": float(high),
        "p_value": float(p_value),
        "disagreement": (gained + lost) / rows,
    }
    measured = (
        f"accuracy {figures['challenger_accuracy']:.4f} against {figures['champion_accuracy']:.4f},"
        f" difference {difference:+.4f} [{low:+.4f}, {high:+.4f}], McNemar p {p_value:.3g}"
    )
    if difference < 0 and p_value < limits.alpha:
        return Check(False, f"worse: {measured}, alpha {limits.alpha}", figures)
    return Check(True, f"not worse: {measured}", figures)


def not_inferior(
    anchor: NDArray[np.bool_], challenger: NDArray[np.bool_], limits: GateLimits, level: float
) -> Check:
    """Judge a challenger against the best version so far, at the level of this look.

    It must be certain, at that level, that the challenger is not worse by more than the margin.
    """
    rows = len(anchor)
    gained, lost = _differing(anchor, challenger)
    p_value = float(noninferiority.p_value(gained, lost, rows, limits.margin))
    difference = (gained - lost) / rows
    figures = {
        "anchor_accuracy": float(anchor.mean()),
        "anchor_difference": difference,
        "anchor_disagreement": (gained + lost) / rows,
        "anchor_p_value": p_value,
        "level": level,
        "margin_spent": max(0.0, -difference),
        "better_than_anchor": float(lineage.is_better(gained, lost)),
    }
    if p_value <= level:
        return Check(True, "", figures)
    tried = f"difference {difference:+.4f}, p {p_value:.3g}, level {level:.3g}"
    why = f"may be worse than the best version by more than the margin of {limits.margin}: {tried}"
    return Check(False, why, figures)


def _differing(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the numbers of reviews that only the second, and only the first model gets right."""
    return int((after & ~before).sum()), int((before & ~after).sum())


def capabilities(
    champion: Mapping[str, Sequence[bool]],
    challenger: Mapping[str, Sequence[bool]],
    limits: GateLimits,
) -> Check:
    """Judge a challenger by the behaviour suite, against the champion.

    Both arguments say for each capability which of the same cases pass. A capability is lost when
    the challenger loses more of its cases than ``capability_margin`` and the exact one-sided
    McNemar test excludes chance; or when it loses ``GROSS`` times the margin, since few cases can
    never exclude chance.

    With the usual limits and no case gained, a capability is lost at 2 of 6 cases, 4 of 12, 5 of
    24 and 5 of 48: with fewer than five losses the test never excludes chance. With 1, 2 or 3
    cases gained it takes 7, 9 or 10 losses of 48.
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
    return Check(not lost, why, figures)
