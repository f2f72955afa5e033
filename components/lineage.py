"""Share one level of significance among all challengers that a test set judges.

Each challenger is tested against the *anchor*, the best version so far on the test set: the null
hypothesis is that it is worse by more than the margin. A lineage of promotions goes wrong at the
first wrong rejection, so the levels of all tests together must not exceed alpha, however many there
are. They are those of the online fallback procedure (Tian and Ramdas 2021, "Online control of the
familywise error rate"), which holds for tests that depend on each other, as tests on the same
reviews do: look k has a level in proportion to k ** -DECAY, those of ``looks`` looks add up to
alpha; a look that passes gives its level to the next one, and a look that does not has spent it.

The anchor is replaced by a promoted version that is better by more than chance, as in the ladder
(Blum and Hardt 2015, "The Ladder: A Reliable Leaderboard for Machine Learning Competitions"). With
the largest measured accuracy instead, the luck of many challengers would raise the anchor above
what any of them is.

The bound needs challengers that do not depend on the test reviews: training never reads them, but a
person who reads a verdict and then changes the training does. ``python -m benchmarks.gate`` prints
what lineages lose, and which challengers pass.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, norm

# With less, late challengers pass more often and early ones less; lineages lose more.
DECAY = 1.2
# At .05 the anchor follows real gains later, at .2 it follows luck more often.
ANCHOR_LEVEL = 0.1


def level(look: int, inherited: ArrayLike, alpha: float, looks: int) -> Any:
    """Return the level of a look.

    ``look`` counts from 1; ``inherited`` is the level of the look before it if that one passed,
    else 0. Looks beyond ``looks`` have no level of their own.
    """
    total = np.sum(np.arange(1.0, looks + 1) ** -DECAY)
    own = alpha * look**-DECAY / total if look <= looks else 0.0
    return own + np.asarray(inherited)


def is_better(gained: ArrayLike, lost: ArrayLike) -> Any:
    """Tell whether a model is better than the anchor by more than chance.

    This is the exact one-sided McNemar test. ``gained`` and ``lost`` are the numbers of reviews
    that only the model, or only the anchor gets right; arrays are tested elementwise.
    """
    gains, losses = np.asarray(gained), np.asarray(lost)
    return (gains > losses) & (binom.cdf(losses, gains + losses, 0.5) < ANCHOR_LEVEL)


def power_of_equal(level: float, disagreement: float, rows: int, margin: float) -> float:
    """Return the probability that a challenger as good as the anchor passes at a level.

    ``disagreement`` is the share of the ``rows`` reviews on which only one of the two is right.
    The normal approximation of Connor 1987 (components.report.sample_size).
    """
    if level <= 0:
        return 0.0
    spread = np.sqrt(rows * max(disagreement, margin))
    return float(norm.cdf(rows * margin / spread - norm.isf(level)))


def levels(passed: Sequence[bool], alpha: float, looks: int) -> NDArray[np.float64]:
    """Return the levels of looks with these outcomes, and of the next look."""
    found, inherited = [], 0.0
    for number, outcome in enumerate([*passed, False], start=1):
        found.append(float(level(number, inherited, alpha, looks)))
        inherited = found[-1] if outcome else 0.0
    return np.array(found)
