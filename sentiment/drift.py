"""Measure how far texts and scores have moved from those of the model's test set."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # the predictor uses the other functions, without scikit-learn
    from sklearn.pipeline import Pipeline

BINS = 10
_LARGEST = 2**53  # a number of a reference; NaN is not below
Statistics = dict[str, NDArray[np.float64]]


def describe(
    model: "Pipeline", texts: Sequence[str], probabilities: NDArray[np.float64]
) -> Statistics:
    """Return the statistics of texts; ``probabilities`` are the model's for them."""
    vocabulary, tokenize = model["ngrams"].index(), model["ngrams"].tokenizer().tokenize
    lengths, unknown = [], []
    for text in texts:
        tokens = tokenize(text)
        lengths.append(len(tokens))
        unknown.append(sum(token not in vocabulary for token in tokens) / (len(tokens) or 1))
    return statistics(probabilities, np.array(lengths, float), np.array(unknown))


def statistics(
    probabilities: NDArray[np.float64], lengths: NDArray[np.float64], unknown: NDArray[np.float64]
) -> Statistics:
    """Return figures for each text, arrays of shape (texts,).

    ``score`` is the probability of the second of two classes. More classes have that of the most
    probable one instead, and its number as ``class``. ``length`` is the number of tokens, and
    ``unknown`` the share of tokens without a column in the model (0 for a text without tokens).
    """
    found = {"score": scores(probabilities)}
    if probabilities.shape[1] > 2:
        found["class"] = probabilities.argmax(axis=1).astype(float)
    return found | {"length": lengths, "unknown": unknown}


def scores(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the score of each text, as :func:`statistics` says."""
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities.max(axis=1)


def reference(statistics: Statistics, classes: int = 2) -> dict[str, Any]:
    """Return each statistic as a histogram over its own deciles, in types that JSON can hold.

    Each of more than two ``classes`` has a bin.
    """
    histograms = {}
    for name, values in statistics.items():
        edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
        if name == "class":
            edges = np.arange(1.0, classes)
        histograms[name] = {"edges": edges.tolist(), "counts": _count(values, edges).tolist()}
    return histograms


def check_reference(reference: Any, classes: int) -> None:
    """Check that a value from a file has the form of :func:`reference`.

    Raises:
        ValueError: it has not; the message names the field.
    """
    if not isinstance(reference, dict):
        raise ValueError("reference: not an object")
    known = {"score", "length", "unknown"} | ({"class"} if classes > 2 else set())
    for name, histogram in reference.items():
        if name not in known:
            raise ValueError(f"reference.{name:.50}: none of {', '.join(sorted(known))}")
        if not isinstance(histogram, dict):
            raise ValueError(f"reference.{name}: not an object")
        edges: Any = histogram.get("edges")
        counts: Any = histogram.get("counts")
        if not _are_numbers(edges, float, int) or any(
            before >= after for before, after in pairwise(edges)
        ):
            raise ValueError(f"reference.{name}.edges: not ascending numbers")
        if len(edges) >= max(BINS, classes):
            raise ValueError(f"reference.{name}.edges: {len(edges)} are too many")
        if not _are_numbers(counts, int) or len(counts) != len(edges) + 1 or min(counts) < 0:
            raise ValueError(f"reference.{name}.counts: not one count of texts for each bin")


def _are_numbers(values: Any, *types: type) -> bool:
    return isinstance(values, list) and all(
        type(value) in types and abs(value) <= _LARGEST for value in values
    )


def stability(reference: dict[str, Any], statistics: Statistics) -> dict[str, float]:
    """Return the population stability index of each statistic against the reference.

    The sum over bins of (current - expected) * ln(current / expected), in shares. By the usual
    reading less than 0.1 is no change and more than 0.25 a large one (Siddiqi 2006, "Credit Risk
    Scorecards"). Half a text is added to each bin, so that an empty bin does not give infinity.
    """
    indices = {}
    for name, histogram in reference.items():
        expected = _shares(np.array(histogram["counts"]))
        current = _shares(_count(statistics[name], np.array(histogram["edges"])))
        indices[name] = float(((current - expected) * np.log(current / expected)).sum())
    return indices


def excess(histogram: dict[str, Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each value, how many times its share of the reference its bin holds."""
    edges = np.array(histogram["edges"])
    ratios = _shares(_count(values, edges)) / _shares(np.array(histogram["counts"]))
    found: NDArray[np.float64] = ratios[np.searchsorted(edges, values, side="right")]
    return found


def _count(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    smoothed: NDArray[np.float64] = (counts + 0.5) / (counts + 0.5).sum()
    return smoothed
