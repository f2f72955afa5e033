"""Naive Bayes log-count ratios as feature weights.

Source: Wang and Manning 2012, "Baselines and Bigrams: Simple, Good Sentiment and Topic
Classification".
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted


class LogCountRatio(TransformerMixin, BaseEstimator):
    """Multiply each column by ``log((p / |p|) / (q / |q|))``.

    ``p`` and ``q`` are the column sums over the positive (``y == 1``) and the negative rows, each
    plus ``alpha``.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def fit(self, X: csr_array, y: ArrayLike) -> Self:
        positive = np.asarray(y) == 1
        p = self.alpha + X[positive].sum(axis=0)
        q = self.alpha + X[~positive].sum(axis=0)
        self.ratio_ = np.log(p / p.sum()) - np.log(q / q.sum())
        return self

    def transform(self, X: csr_array) -> csr_array:
        check_is_fitted(self)
        return csr_array((X.data * self.ratio_[X.indices], X.indices, X.indptr), shape=X.shape)

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        return input_features
