"""Draw predictions to label: a stratified sample, of which each inclusion probability is known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiment import drift
from sentiment.drift import Statistics

UNCERTAIN, DRIFTED, OTHER = "uncertain", "drifted", "other"
_UNCERTAIN_SHARE = 0.1  # of the predictions: those with the lowest probability
_EXTRA = 0.2  # share of the labels that goes to the uncertain and to the drifted ones, each
_OVER = 2.0  # times its share of the reference, from which on a bin has drifted
_DRIFT = ("length", "unknown")  # what drifts by the texts alone


def drifted(reference: dict[str, Any], found: Statistics) -> NDArray[np.bool_]:
    """Tell which texts are in a bin that holds twice its share of the reference or more.

    The bins are those of their length and of their share of unknown tokens; ``reference`` is that
    of :func:`sentiment.drift.reference`.
    """
    over = np.zeros(len(found["length"]), bool)
    for name in _DRIFT:
        over |= drift.excess(reference[name], found[name]) >= _OVER
    return over


def kinds(confidence: NDArray[np.float64], over: NDArray[np.bool_]) -> NDArray[np.object_]:
    """Return the kind of each prediction; one that is uncertain and drifted counts as uncertain."""
    found: NDArray[np.object_] = np.where(over, DRIFTED, OTHER).astype(object)
    lowest = int(len(confidence) * _UNCERTAIN_SHARE)
    found[np.argsort(confidence, kind="stable")[:lowest]] = UNCERTAIN
    return found


def allocate(sizes: Sequence[int], favoured: Sequence[bool], labels: int) -> list[int]:
    """Return how many of each stratum to draw, of ``labels`` in all or of all that there are.

    Each stratum gets its share of the predictions of three fifths of the labels. The rest is for
    the strata that are ``favoured``, in equal parts; if there is one, it gets a fifth. No stratum
    is left out while there are labels, as nothing would be known of it. What a small stratum does
    not need goes to the others, in proportion (the method of Webster and Sainte-Lague).
    """
    extra = min(_EXTRA, 2 * _EXTRA / (sum(favoured) or 1)) * np.array(favoured, float)
    wanted = labels * ((1 - extra.sum()) * np.array(sizes) / sum(sizes) + extra)
    drawn = np.zeros(len(sizes), int)
    for _ in range(min(labels, sum(sizes))):
        claims = np.where(drawn < sizes, wanted / (drawn + 0.5), -1.0)
        if (empty := drawn == 0).any():
            claims[~empty] = -1.0
        drawn[claims.argmax()] += 1
    return [int(each) for each in drawn]


def draw(
    strata: NDArray[np.int64], numbers: Sequence[int], random: np.random.Generator
) -> NDArray[np.int64]:
    """Return the places of the predictions drawn, in random order.

    ``strata`` has the number of each prediction's stratum; ``numbers`` how many of each to draw,
    without replacement. The order is random so that the first labels of an unfinished queue are a
    sample, too.
    """
    drawn = [
        random.choice(np.flatnonzero(strata == number), count, replace=False)
        for number, count in enumerate(numbers)
    ]
    return random.permutation(np.concatenate(drawn)) if drawn else np.zeros(0, np.int64)
