"""The model: one scikit-learn Pipeline from raw text to the probability of *positive*."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from sentiment.ngrams import NgramVectorizer
from sentiment.weighting import LogCountRatio

LABELS = ("negative", "positive")  # by the value of the label column


def build(max_n: int, min_df: int, alpha: float, C: float) -> Pipeline:
    """Return the unfitted Pipeline; ``C`` is the inverse of the L2 penalty.

    Cleaning is its first step, so that training and serving cannot differ. liblinear has no
    random element when it solves the primal problem, and needs a third of lbfgs's memory.
    """
    return Pipeline(
        [
            ("ngrams", NgramVectorizer(max_n=max_n, min_df=min_df)),
            ("weights", LogCountRatio(alpha=alpha)),
            ("classifier", LogisticRegression(C=C, solver="liblinear")),
        ]
    )


def probabilities(model: Pipeline, texts: Iterable[str]) -> NDArray[np.float64]:
    """Return the probability of *positive* for each text, shape (texts,).

    The value for a text does not depend on the texts beside it.
    """
    return model.predict_proba(texts)[:, 1]
