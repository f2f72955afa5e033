"""The model: one scikit-learn Pipeline from raw text to the probability of *positive*."""

from collections.abc import Iterable
from itertools import islice
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sentiment import weighting
from sentiment.exact import Floats, sigmoid
from sentiment.regression import Linear, path, platt
from sentiment.shards import cut
from sentiment.vectorizer import NgramVectorizer

LABELS = ("negative", "positive")  # by the value of the label column


class NgramClassifier(ClassifierMixin, BaseEstimator):
    """Weighs counts of n-grams and fits a linear function of them, stopped after ``iterations``.

    The function is in ``weights_``, ``squares_`` and ``intercept_``; see
    :class:`sentiment.regression.Linear`.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        ratio_power: float = 0.5,
        idf_power: float = 1.5,
        iterations: int = 3,
    ) -> None:
        self.alpha = alpha
        self.ratio_power = ratio_power
        self.idf_power = idf_power
        self.iterations = iterations

    def fit(self, X: csr_array, y: ArrayLike) -> Self:
        """Fit to labels 0 and 1, and calibrate on the same rows.

        Rows that were learned from are scored too well to calibrate on: the stage train
        calibrates on others.
        """
        shards = cut(X, np.asarray(y, np.int8))
        counted = weighting.frequencies(shards, X.shape[1])
        scale = weighting.scale(counted, 1, self.alpha, self.ratio_power, self.idf_power)
        fitted = list(islice(path(shards, scale), self.iterations))
        if not fitted:
            raise ValueError("no n-gram tells the labels apart: nothing to learn")
        return self.adopt(fitted[-1].calibrated(*platt(fitted[-1].score(X), np.asarray(y))))

    def adopt(self, linear: Linear) -> Self:
        self.classes_ = np.array([0, 1])
        self.weights_, self.squares_, self.intercept_ = linear
        return self

    def decision_function(self, X: csr_array) -> Floats:
        """Return the log-odds of label 1, shape (rows,)."""
        return self.linear().score(X)

    def linear(self) -> Linear:
        check_is_fitted(self)
        return Linear(self.weights_, self.squares_, self.intercept_)

    def predict_proba(self, X: csr_array) -> NDArray[np.float64]:
        positive = sigmoid(self.decision_function(X))
        return np.column_stack([1 - positive, positive])

    def predict(self, X: csr_array) -> NDArray[np.int64]:
        return (self.predict_proba(X)[:, 1] > 0.5).astype(np.int64)


def build(
    max_n: int = 3, min_df: int = 2, max_features: int = 4_000_000, **parameters: Any
) -> Pipeline:
    """Return the unfitted Pipeline; ``parameters`` are those of :class:`NgramClassifier`.

    Cleaning is its first step, so that training and serving cannot differ.
    """
    return Pipeline(
        [
            ("ngrams", NgramVectorizer(max_n=max_n, min_df=min_df, max_features=max_features)),
            ("classifier", NgramClassifier(**parameters)),
        ]
    )


def probabilities(model: Pipeline, texts: Iterable[str]) -> NDArray[np.float64]:
    """Return the probability of *positive* for each text, shape (texts,).

    The value for a text does not depend on the texts beside it.
    """
    return model.predict_proba(texts)[:, 1]
