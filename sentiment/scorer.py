"""Scores one text at a time, in the time that the Pipeline needs to look at its arguments.

The answer is the Pipeline's to the last bit: the same products, added in the same order.
"""

from collections.abc import Sequence
from itertools import repeat

import numpy as np
from sklearn.pipeline import Pipeline

from sentiment import ngrams
from sentiment.exact import Floats, sigmoid
from sentiment.model import probabilities
from sentiment.ngrams import MAX_COUNT, Ints
from sentiment.tokens import tokenize
from sentiment.weighting import TERM_FREQUENCY

_NONE = 0  # no token has this number


class Scorer:
    """What a fitted Pipeline of :func:`sentiment.model.build` knows, laid out for one text."""

    def __init__(self, model: Pipeline) -> None:
        self._model = model
        vectorizer, classifier = model["ngrams"], model["classifier"]
        self._max_n = vectorizer.max_n
        self._index = vectorizer.index()
        self._keys = vectorizer.keys_
        self._linear = classifier.linear()

    def probabilities(self, texts: Sequence[str]) -> list[float]:
        """Return the probability of *positive* for each text, by the way that is quicker."""
        if len(texts) == 1:
            return [self.probability(texts[0])]
        scores: list[float] = probabilities(self._model, texts).tolist()
        return scores

    def probability(self, text: str) -> float:
        """Return the probability of *positive*."""
        return float(sigmoid(np.array([self.log_odds(text)]))[0])

    def log_odds(self, text: str) -> float:
        columns, terms = self._terms(text)
        if not len(columns):
            return float(self._linear.intercept)
        score = np.cumsum(terms * self._linear.weights[columns])[-1]
        squared = np.cumsum(terms**2 * self._linear.squares[columns])[-1]
        inverse_length = 1.0 / np.sqrt(squared) if squared > 0 else 0.0
        return float(score * inverse_length + self._linear.intercept)

    def _terms(self, text: str) -> tuple[Ints, Floats]:
        """Return the columns of the text's n-grams, in order, and the weights of their counts."""
        tokens = tokenize(text)
        ids = np.fromiter(map(self._index.get, tokens, repeat(_NONE)), np.int64, len(tokens))
        keys, counts = np.unique(ngrams.known(ids, self._max_n), return_counts=True)
        columns = ngrams.rank(keys, self._keys)  # quicker where the keys ascend
        kept = columns >= 0
        return columns[kept], TERM_FREQUENCY[np.minimum(counts[kept], MAX_COUNT)]
