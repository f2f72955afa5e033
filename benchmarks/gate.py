"""Simulate lineages of challengers that the gate judges on one reused test set.

In each lineage the same number of challengers is offered, each of which is truly better or worse
than the champion of the moment by a fixed difference. Two models on one test set get different
reviews right; the share of reviews that only one of both gets right, the disagreement, is given.
Models may disagree in two ways: each differs from a common core on reviews of its own (*apart*), so
that any two disagree alike; or a challenger differs from the champion (*walk*), so that versions
disagree with the anchor the more the further the lineage goes.

Right and wrong answers are not kept for each review: all that counts is how many reviews the core,
the anchor and the champion get right together, a table of eight numbers for each lineage.
"""

import argparse
import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from components import cli
from components.lineage import is_better, level
from components.noninferiority import p_value
from components.verdict import GateLimits

log = logging.getLogger("gate")

ACCURACY = 0.8  # of the core and of the first champion; leaves room for 50 gains
QUALITIES = (0.01, 0.0)  # of challengers, against the champion of the moment,
PROBES = (0, 10, 49)  # that are tried after so many looks
# a lineage offers one difference, or ten times the first and then the second
DIFFERENCES = ((0.0,), (-0.001,), (-0.003,), (-0.01,), (0.003,), (0.003, -0.003))
FIRST = 10  # challengers of the first of two differences
Table = NDArray[np.int64]  # lineages x core x anchor x champion [x challenger], 1: right


@dataclass(frozen=True)
class Setting:
    """What is simulated; ``differences`` and ``disagreement`` are shares of the reviews."""

    kind: str
    disagreement: float
    differences: tuple[float, ...]
    rows: int
    lineages: int
    offered: int


@dataclass
class Lineages:
    """All lineages of a setting."""

    setting: Setting
    limits: GateLimits
    rng: np.random.Generator
    table: Table = field(init=False)
    accuracy: NDArray[np.float64] = field(init=False)  # the champion's true one

    def __post_init__(self) -> None:
        count, rows = self.setting.lineages, self.setting.rows
        self.table = np.zeros((count, 2, 2, 2), np.int64)
        right = self.rng.binomial(rows, ACCURACY, count)
        self.accuracy = np.full(count, ACCURACY)
        for core, reviews in ((1, right), (0, rows - right)):
            # the first champion is the anchor, too
            differing = self._differing(core, self.accuracy) if self.setting.kind == "apart" else 0
            changed = self.rng.binomial(reviews, differing)
            self.table[:, core, core, core] = reviews - changed
            self.table[:, core, 1 - core, 1 - core] = changed

    def _differing(self, right: int, accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of changed answers among those that the base gets right (1) or wrong.

        The base is the core or the champion; ``accuracy`` is the true one of the new model.
        """
        apart = self.setting.kind == "apart"
        base = np.full_like(accuracy, ACCURACY) if apart else self.accuracy
        difference = accuracy - base
        # two models that each differ from the core on a share disagree on twice that share
        changed = np.maximum(self.setting.disagreement / (2 if apart else 1), abs(difference))
        share, of = (changed - difference, base) if right else (changed + difference, 1 - base)
        return np.asarray(share / 2 / np.maximum(of, 1e-9))  # a champion may get all right

    def offer(self, difference: float) -> tuple[NDArray[np.float64], Table]:
        """Return the true accuracies of new challengers, and the table with their answers."""
        accuracy = np.clip(self.accuracy + difference, 0, 1)
        judged = np.zeros((*self.table.shape, 2), np.int64)
        for core, anchor, champion in np.ndindex(2, 2, 2):
            base = core if self.setting.kind == "apart" else champion
            reviews = self.table[:, core, anchor, champion]
            changed = self.rng.binomial(reviews, np.clip(self._differing(base, accuracy), 0, 1))
            judged[:, core, anchor, champion, 1 - base] = changed
            judged[:, core, anchor, champion, base] = reviews - changed
        return accuracy, judged

    def judge(self, judged: Table, levels: Any) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which challengers pass, and which of them become the anchor."""
        gained, lost = judged[:, :, :, 0, 1].sum((1, 2)), judged[:, :, :, 1, 0].sum((1, 2))
        p = 2 * binom.cdf(np.minimum(gained, lost), gained + lost, 0.5)
        worse = (gained < lost) & (p < self.limits.alpha)
        gained, lost = judged[:, :, 0, :, 1].sum((1, 2)), judged[:, :, 1, :, 0].sum((1, 2))
        passed = p_value(gained, lost, self.setting.rows, self.limits.margin) <= levels
        return passed & ~worse, is_better(gained, lost)

    def promote(
        self, accuracy: NDArray[np.float64], judged: Table, passed: Any, anchored: Any
    ) -> None:
        self.accuracy = np.where(passed, accuracy, self.accuracy)
        self.table[passed] = judged[passed].sum(3)
        new = passed & anchored
        self.table[new] = 0
        for right in (0, 1):
            self.table[new, :, right, right] = judged[new].sum((2, 3))[:, :, right]


def simulate(setting: Setting, limits: GateLimits, seed: int = 0) -> dict[str, float]:
    """Return the share of lineages that lost more than the margin, and the rates of the probes."""
    lineages = Lineages(setting, limits, np.random.default_rng(seed))
    best = lineages.accuracy
    beyond = np.zeros(setting.lineages, np.bool_)
    inherited = np.zeros(setting.lineages)
    promoted = 0.0
    figures: dict[str, float] = {}
    for number in range(setting.offered):
        levels = level(number + 1, inherited, limits.alpha, limits.looks)
        for quality in QUALITIES if number in PROBES else ():
            passed, _ = lineages.judge(lineages.offer(quality)[1], levels)
            figures[f"{100 * quality:+g} after {number}"] = float(passed.mean())
        difference = setting.differences[0 if number < FIRST else -1]
        accuracy, judged = lineages.offer(difference)
        passed, anchored = lineages.judge(judged, levels)
        lineages.promote(accuracy, judged, passed, anchored)
        inherited = np.where(passed, levels, 0.0)
        promoted += passed.mean()
        best = np.maximum(best, lineages.accuracy)
        beyond |= best - lineages.accuracy > limits.margin + 1e-9  # rounding
    change = float(lineages.accuracy.mean()) - ACCURACY
    return {"beyond": float(beyond.mean()), "promoted": promoted, "change": change} | figures


def compare(lineages: int, rows: int, offered: int) -> None:
    limits = GateLimits()
    probes = [f"{100 * quality:+g} after {number}" for quality in QUALITIES for number in PROBES]
    head = ("disagree", "%", "offered, points", "beyond margin", "promoted", "change", *probes)
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for kind in ("apart", "walk"):
        for disagreement in (0.02, 0.04, 0.08):
            for differences in DIFFERENCES:
                setting = Setting(kind, disagreement, differences, rows, lineages, offered)
                found = simulate(setting, limits)
                shown = [kind, f"{disagreement:.0%}"]
                shown.append(", then ".join(f"{100 * each:+.1f}" for each in differences))
                shown += [f"{found['beyond']:.2%}", f"{found['promoted']:.1f}"]
                shown.append(f"{100 * found['change']:+.2f}")
                shown += [f"{found[probe]:.0%}" for probe in probes]
                print(f"| {' | '.join(shown)} |", flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--lineages", type=int, default=10_000, help="lineages of each setting")
    parser.add_argument("--rows", type=int, default=5_000, help="test reviews")
    parser.add_argument("--offered", type=int, default=50, help="challengers of a lineage")
    args = parser.parse_args(argv)
    return cli.run("gate", lambda: compare(args.lineages, args.rows, args.offered))


if __name__ == "__main__":
    raise SystemExit(main())
