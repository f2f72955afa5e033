"""Measures of a model on labelled reviews."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn import metrics

from sentiment import drift

CALIBRATION_BINS = 15
CONFIDENCE = 0.95
COVERAGE = 0.9
SOURCE = "source "  # begins the name of a slice
LENGTHS = (0, 50, 150, 300, 600)  # lower bounds of the slices, in tokens


def measure(labels: NDArray[np.int8], p: NDArray[np.float64]) -> dict[str, float]:
    """Return the metrics of probabilities ``p``, shape (reviews, classes).

    Of equal probabilities the first class counts. Precision, recall and the area under the ROC
    curve are of the second of two classes, and the means over all of more.
    """
    predicted, number = p.argmax(axis=1), p.shape[1]
    binary = number == 2
    precision, recall, _, _ = metrics.precision_recall_fscore_support(
        labels,
        predicted,
        labels=None if binary else range(number),
        average="binary" if binary else "macro",
        zero_division=0.0,
    )
    threshold, accuracy = abstention(labels, p)
    values = {
        "rows": len(labels),
        "accuracy": metrics.accuracy_score(labels, predicted),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
        "precision": precision,
        "recall": recall,
        "roc_auc": metrics.roc_auc_score(
            labels, p[:, 1] if binary else p, multi_class="ovr", labels=range(number)
        ),
        "log_loss": metrics.log_loss(labels, p, labels=range(number)),
        "expected_calibration_error": expected_calibration_error(labels, p),
        "abstention_threshold": threshold,
        "accuracy_at_90_coverage": accuracy,
    }
    return {name: round(float(value), 12) for name, value in values.items()}


def accuracy_interval(right: int, rows: int) -> tuple[float, float]:
    """Return the ends of the 95% interval of an accuracy, by Wilson's method as in the gate."""
    low, high = binomtest(right, rows).proportion_ci(CONFIDENCE, method="wilson")
    return float(low), float(high)


def expected_calibration_error(labels: NDArray[np.int8], p: NDArray[np.float64]) -> float:
    """Return the mean distance between confidence and accuracy in 15 bins of equal width.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    return _mean_gap(p.max(axis=1), p.argmax(axis=1) == labels)


def classes(
    labels: NDArray[np.int8], p: NDArray[np.float64], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return rows, precision, recall, F1 and calibration error of each class.

    The calibration error is the gap between its probability and its share (Kull et al. 2019,
    "Beyond Temperature Scaling", classwise-ECE, for one class).
    """
    measured = metrics.precision_recall_fscore_support(
        labels, p.argmax(axis=1), labels=range(len(names)), zero_division=0.0
    )
    return [
        {
            "class": name,
            "rows": int(rows),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "calibration_error": _mean_gap(p[:, label], labels == label),
        }
        for label, (name, precision, recall, f1, rows) in enumerate(
            zip(names, *measured, strict=True)
        )
    ]


def _mean_gap(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, confidence - correct, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(correct))


def abstention(labels: NDArray[np.int8], p: NDArray[np.float64]) -> tuple[float, float]:
    """Return the confidence that 90% of the answers reach, and the accuracy of those answers.

    Source: El-Yaniv and Wiener 2010, "On the Foundations of Noise-free Selective Classification".
    """
    confidence = p.max(axis=1)
    threshold = float(np.quantile(confidence, 1 - COVERAGE, method="higher"))
    answered = confidence >= threshold
    return threshold, float((p.argmax(axis=1) == labels)[answered].mean())


def parts(sources: Sequence[str], lengths: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
    """Return which reviews are of each source, and of each range of lengths in tokens."""
    names = [f"{low} to {high - 1} tokens" for low, high in pairwise(LENGTHS)]
    names.append(f"{LENGTHS[-1]} tokens or more")
    by_length = np.array(names)[np.searchsorted(LENGTHS, lengths, side="right") - 1]
    of_source = np.array([SOURCE + source for source in sources])
    found = {kind: of_source == kind for kind in sorted(set(of_source))}
    found |= {kind: by_length == kind for kind in names}
    return {kind: inside for kind, inside in found.items() if inside.any()}


def slices(
    test: pd.DataFrame, p: NDArray[np.float64], lengths: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Return rows, accuracy, calibration error and abstention by source and length in tokens."""
    labels, predicted = test["label"].to_numpy(), p.argmax(axis=1)
    found = []
    for kind, inside in parts(test["source"].tolist(), lengths).items():
        threshold, accuracy = abstention(labels[inside], p[inside])
        found.append(
            {
                "slice": kind,
                "rows": int(inside.sum()),
                "accuracy": float((predicted == labels)[inside].mean()),
                "expected_calibration_error": expected_calibration_error(labels[inside], p[inside]),
                "abstention_threshold": threshold,
                "accuracy_at_90_coverage": accuracy,
            }
        )
    return found


def by_source(slices: list[dict[str, Any]]) -> dict[str, float]:
    """Return the accuracy and the rows of each source from the slices, if there are several.

    The names are of the form that MLflow takes: ``accuracy/NAME``.
    """
    found = [each for each in slices if each["slice"].startswith(SOURCE)]
    values = {}
    for each in found if len(found) > 1 else []:
        name = re.sub(r"[^\w .-]", "_", each["slice"].removeprefix(SOURCE))
        values[f"accuracy/{name}"] = round(each["accuracy"], 12)
        values[f"rows/{name}"] = float(each["rows"])
    return values


def groups(test: pd.DataFrame) -> dict[str, int]:
    """Return the number of groups, and of the reviews that are in one."""
    named = test["group"].dropna() if "group" in test else test["source"][:0]
    return {"rows": len(named), "groups": named.nunique()}


def calibration(labels: NDArray[np.int8], p: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return mean probability and share of right answers, in tenths of the probability.

    They are of the second of two classes, or of the most probable of more.
    """
    score, right = drift.scores(p), labels == 1
    if p.shape[1] > 2:
        right = p.argmax(axis=1) == labels
    tenths = np.minimum((score * 10).astype(int), 9)
    return [
        {
            "rows": int((tenths == tenth).sum()),
            "predicted": float(score[tenths == tenth].mean()),
            "observed": float(right[tenths == tenth].mean()),
        }
        for tenth in np.unique(tenths)
    ]
