"""The model: one scikit-learn Pipeline from raw text to the probabilities of the classes."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sentiment import regression, weighting
from sentiment.exact import Floats, class_probabilities
from sentiment.linear import Linear
from sentiment.negation import NO_OPPOSITES, Opposites
from sentiment.parameters import LABELS, Parameters
from sentiment.regression import calibrate, least_squares_path
from sentiment.shards import split_rows
from sentiment.vectorizer import NgramVectorizer


class NgramClassifier(ClassifierMixin, BaseEstimator):
    """Linear functions of weighted n-gram counts, fitted by ``iterations`` of least squares.

    ``weights_``, ``squares_`` and ``intercept_`` are the fields of
    :class:`sentiment.linear.Linear`, ``classes_`` are the labels 0, 1, …, and ``names_`` the
    names of their classes; a model without ``names_`` has those of ``LABELS``.
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

    def fit(self, X: csr_array, y: ArrayLike, opposites: Opposites = NO_OPPOSITES) -> Self:
        """Fit to labels 0, 1, …, and calibrate on the same rows.

        ``opposites`` are those of :meth:`sentiment.vectorizer.NgramVectorizer.opposites`, which a
        Pipeline does not pass on: without them, marked words have weights of their own.

        Scores of training rows are too extreme for a good calibration; the stage train
        calibrates on validation rows.

        Raises:
            ValueError: no n-gram correlates with the labels.
        """
        labels = np.asarray(y, np.int8)
        classes = max(2, int(labels.max(initial=0)) + 1)
        shards = split_rows(X, labels)
        counted = weighting.frequencies(shards, X.shape[1], classes)
        scale = weighting.scale(counted, 1, self.alpha, self.ratio_power, self.idf_power)
        fitted = list(
            islice(least_squares_path(shards, scale, classes, opposites), self.iterations)
        )
        if not fitted:
            raise ValueError("no n-gram tells the labels apart: nothing to learn")
        calibration = calibrate(regression.score(fitted[-1], X), labels, classes)
        names = LABELS if classes == 2 else [str(label) for label in range(classes)]
        return self.adopt(regression.calibrated(fitted[-1], *calibration), names)

    def adopt(self, linear: Linear, names: Sequence[str] = LABELS) -> Self:
        """Become fitted, with ``linear`` as the functions of the classes ``names``."""
        self.classes_ = np.arange(len(names))
        self.names_ = np.array(names)
        self.weights_, self.squares_, intercept = linear
        self.intercept_ = intercept if np.ndim(intercept) else float(intercept)
        return self

    def decision_function(self, X: csr_array) -> Floats:
        """Return the log-odds of label 1, shape (rows,), or of each class against all others."""
        return regression.score(self.linear(), X)

    def linear(self) -> Linear:
        check_is_fitted(self)
        return Linear(self.weights_, self.squares_, self.intercept_)

    def predict_proba(self, X: csr_array) -> NDArray[np.float64]:
        return class_probabilities(self.decision_function(X))

    def predict(self, X: csr_array) -> NDArray[np.int64]:
        """Return the label of the largest probability, the first of equal ones."""
        return self.predict_proba(X).argmax(axis=1)


def build(
    max_n: int = 3,
    min_df: int = 2,
    max_features: int = 4_000_000,
    stemmer: str = "",
    **parameters: Any,
) -> Pipeline:
    """Return an unfitted Pipeline; ``parameters`` are those of :class:`NgramClassifier`.

    ``stemmer`` is one of :data:`sentiment.stems.NAMES`.

    The first step cleans the text, so that training and serving cannot differ.
    """
    vectorizer = NgramVectorizer(max_n, min_df, max_features, stemmer=stemmer)
    return Pipeline([("ngrams", vectorizer), ("classifier", NgramClassifier(**parameters))])


def of(parameters: Parameters) -> Pipeline:
    """Return a fitted Pipeline with these parameters, which :func:`parameters` returns of it."""
    vectorizer = NgramVectorizer(tokens=parameters.version, stemmer=parameters.stemmer)
    steps = [
        ("ngrams", vectorizer.adopt(parameters.tokens, parameters.keys)),
        ("classifier", NgramClassifier().adopt(parameters.linear, parameters.names)),
    ]
    return Pipeline(steps)


def probabilities(model: Pipeline, texts: Iterable[str]) -> NDArray[np.float64]:
    """Return the probability of each class for each text, shape (texts, classes).

    The values for a text do not depend on the other texts.
    """
    return model.predict_proba(texts)


def class_names(model: Pipeline) -> tuple[str, ...]:
    """Return the names of the classes, in the order of their probabilities."""
    return tuple(map(str, getattr(model["classifier"], "names_", LABELS)))


def parameters(model: Pipeline) -> Parameters:
    """Return what :mod:`sentiment.scorer` and :mod:`sentiment.explanation` need of a model."""
    vectorizer, classifier = model["ngrams"], model["classifier"]
    return Parameters(
        version=vectorizer.tokens,
        stemmer=vectorizer.stemmer,
        tokens=vectorizer.tokens_,
        keys=vectorizer.keys_,
        names=class_names(model),
        linear=classifier.linear(),
    )
