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
from sentiment.regression import Linear, least_squares_path, platt
from sentiment.shards import split_rows
from sentiment.vectorizer import NgramVectorizer

LABELS = ("negative", "positive")  # the names of the labels 0 and 1


class NgramClassifier(ClassifierMixin, BaseEstimator):
    """A linear function of weighted n-gram counts, fitted by ``iterations`` of least squares.

    ``weights_``, ``squares_`` and ``intercept_`` are the fields of
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

        Scores of training rows are too extreme for a good calibration; the stage train
        calibrates on validation rows.

        Raises:
            ValueError: no n-gram correlates with the labels.
        """
        shards = split_rows(X, np.asarray(y, np.int8))
        counted = weighting.frequencies(shards, X.shape[1])
        scale = weighting.scale(counted, 1, self.alpha, self.ratio_power, self.idf_power)
        fitted = list(islice(least_squares_path(shards, scale), self.iterations))
        if not fitted:
            raise ValueError("no n-gram tells the labels apart: nothing to learn")
        return self.adopt(fitted[-1].calibrated(*platt(fitted[-1].score(X), np.asarray(y))))

    def adopt(self, linear: Linear) -> Self:
        """Become fitted, with ``linear`` as the function."""
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
    """Return an unfitted Pipeline; ``parameters`` are those of :class:`NgramClassifier`.

    The first step cleans the text, so that training and serving cannot differ.
    """
    return Pipeline(
        [
            ("ngrams", NgramVectorizer(max_n=max_n, min_df=min_df, max_features=max_features)),
            ("classifier", NgramClassifier(**parameters)),
        ]
    )


def probabilities(model: Pipeline, texts: Iterable[str]) -> NDArray[np.float64]:
    """Return the probability of *positive* for each text, shape (texts,).

    The value for a text does not depend on the other texts.
    """
    return model.predict_proba(texts)[:, 1]
