"""Guards of the gate: what a challenger must not lose although its accuracy is good enough.

Each guard compares the challenger with the champion on the same test reviews, and refuses only what
is larger than a margin and what chance does not explain.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from components.verdict import Check, GateLimits

RESAMPLES = 2_000


def parts(
    right: Mapping[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]], limits: GateLimits
) -> Check:
    """Judge the accuracy within parts of the test reviews: classes (their recall) and slices.

    ``right`` says for the reviews of each part whether the champion, and whether the challenger,
    was right. A part is lost if the challenger loses more of it than ``part_margin`` and the exact
    one-sided McNemar test excludes chance. The level is divided by the number of parts
    (Bonferroni), so that many parts do not refuse an equal challenger by chance.
    """
    lost, worst = [], 1.0
    for name, (before, after) in right.items():
        gains, losses = int((after & ~before).sum()), int((before & ~after).sum())
        difference = (gains - losses) / len(before)
        worst = min(worst, difference)
        if -difference <= limits.part_margin:
            continue
        p_value = binomtest(losses, losses + gains, alternative="greater").pvalue
        if p_value < limits.alpha / len(right):
            lost.append(f"{name} {after.mean():.3f} against {before.mean():.3f} (p {p_value:.2g})")
    why = f"loses accuracy on {', '.join(lost)}" if lost else "loses no class and no slice"
    # names of parts are the user's, and MLflow does not take every name
    return Check(not lost, why, {"worst_part_difference": worst})


def macro_f1(
    labels: NDArray[np.int8],
    champion: NDArray[np.int8],
    challenger: NDArray[np.int8],
    limits: GateLimits,
) -> Check:
    """Judge the mean of the classes' F1 scores.

    ``champion`` and ``challenger`` are the classes that the models answer; -1 stands for one that
    the test reviews do not have. The challenger loses if its macro-F1 is lower by more than the
    margin, and a share of 1 - alpha of the differences in bootstrap samples of the reviews (Efron
    1979) is below 0.
    """
    cells, counts = np.unique(np.stack([labels, champion, challenger]), axis=1, return_counts=True)
    draws = np.random.default_rng(0).multinomial(len(labels), counts / len(labels), RESAMPLES)
    before, after = (
        _macro_f1(cells[0], cells[each], np.vstack([counts, draws])) for each in (1, 2)
    )
    differences = after - before
    high = float(np.quantile(differences[1:], 1 - limits.alpha))
    figures = {
        "champion_macro_f1": float(before[0]),
        "challenger_macro_f1": float(after[0]),
        "macro_f1_difference_high": high,
    }
    measured = f"macro-F1 {after[0]:.4f} against {before[0]:.4f}"
    if differences[0] < -limits.margin and high < 0:
        return Check(False, f"loses {measured}, at most {high:+.4f}", figures)
    return Check(True, measured, figures)


def _macro_f1(
    labels: NDArray[np.int8], answers: NDArray[np.int8], weights: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the macro-F1 of each row of ``weights``, shape (draws, kinds of review)."""
    scores = []
    for label in np.unique(labels):
        of_class, answered = labels == label, answers == label
        both = weights[:, of_class & answered].sum(axis=1)
        either = weights[:, of_class].sum(axis=1) + weights[:, answered].sum(axis=1)
        scores.append(2 * both / np.maximum(either, 1))
    return np.asarray(np.mean(scores, axis=0))
