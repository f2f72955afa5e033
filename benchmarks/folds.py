"""Scores of reviews by models that were fitted to other reviews: five-fold cross-validation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from components.io import reviews
from components.report.measures import accuracy_interval
from sentiment.exact import sigmoid
from sentiment.model import NgramClassifier
from sentiment.negation import Opposites
from sentiment.vectorizer import NgramVectorizer

FOLDS = 5
Scores = NDArray[np.float64]
Right = NDArray[np.bool_]  # for each review whether its label was found
Rows = NDArray[np.intp]


class Difference(NamedTuple):
    """A difference of accuracies with its standard errors, by review and by fold."""

    mean: float
    by_review: float
    by_fold: float


Folds = list[tuple[Rows, Rows]]  # of each fold the rows to fit to, and those held out


@dataclass(frozen=True)
class Data:
    """Texts, their labels (0 or 1), the counts of the model's n-grams, and the folds.

    ``opposites`` are the columns of marked words.
    """

    texts: list[str]
    labels: NDArray[np.int8]
    counts: csr_array
    opposites: Opposites
    folds: Folds

    def out_of_fold(self, score: Callable[[Rows, Rows], Scores]) -> Scores:
        """Return the score of each text by the model that was fitted to the other folds."""
        scores = np.zeros(len(self.labels))
        for train, held_out in self.folds:
            scores[held_out] = score(train, held_out)
        return scores

    def model(self, counts: csr_array | None = None, **parameters: Any) -> Scores:
        """Return out-of-fold scores of the model on ``counts``, by default those of its n-grams."""
        if counts is None:
            return self.out_of_fold(
                lambda train, held_out: self.fit(
                    train, self.labels[train], **parameters
                ).decision_function(self.counts[held_out])
            )
        return self.out_of_fold(
            lambda train, held_out: (
                NgramClassifier(**parameters)
                .fit(counts[train], self.labels[train])
                .decision_function(counts[held_out])
            )
        )

    def fit(self, rows: Rows, labels: NDArray[np.int8], **parameters: Any) -> NgramClassifier:
        """Fit the model to ``rows`` with ``labels``."""
        return NgramClassifier(**parameters).fit(self.counts[rows], labels, self.opposites)

    def regression(self, features: object) -> Scores:
        estimator = make_pipeline(
            StandardScaler(with_mean=not hasattr(features, "tocsr")),
            LogisticRegression(max_iter=1000),
        )
        return cross_val_predict(
            estimator, features, self.labels, cv=self.folds, method="decision_function"
        )

    def right(self, scores: Scores) -> Right:
        return (scores > 0) == (self.labels == 1)

    def log_loss(self, scores: Scores) -> float:
        """Return the log loss of scores that are calibrated on the other folds."""
        return float(log_loss(self.labels, sigmoid(self.regression(scores[:, None]))))

    def difference(self, right: Right, base: Right) -> Difference:
        """Return by how much more often ``right`` is true than ``base``, paired."""
        gains = right.astype(int) - base.astype(int)
        of_folds = [gains[held_out].mean() for _, held_out in self.folds]
        errors = (values.std(ddof=1) / len(values) ** 0.5 for values in (gains, np.array(of_folds)))
        return Difference(float(gains.mean()), *map(float, errors))


def read(table: pd.DataFrame) -> Data:
    """Count the n-grams of a table of the stages; the folds are by group where it has groups."""
    labels = table["label"].to_numpy()
    vectorizer = NgramVectorizer()
    counts = vectorizer.fit_transform(table["text"])
    folds = by_group(table) if is_grouped(table) else by_text(labels)
    return Data(table["text"].tolist(), labels, counts, vectorizer.opposites(), folds)


def is_grouped(table: pd.DataFrame) -> bool:
    return "group" in table and bool(table["group"].notna().any())


def by_group(table: pd.DataFrame) -> Folds:
    """Return folds that keep each group together; a review without a group is one of its own."""
    own = table["text"].map(reviews.identity)
    groups = ("group " + table["group"]).fillna(own)
    folds = GroupKFold(FOLDS, shuffle=True, random_state=0)
    return list(folds.split(table["label"], groups=groups))


def by_text(labels: NDArray[np.int8]) -> Folds:
    """Return random folds with equal shares of both labels."""
    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels))


def accuracy(right: int, rows: int) -> str:
    """Return an accuracy with its 95% interval."""
    low, high = accuracy_interval(right, rows)
    return f"{right / rows:.4f} ({low:.4f} to {high:.4f})"
