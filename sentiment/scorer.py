"""Scores texts in little more than the time that it takes to cut them into tokens.

The answers are the Pipeline's to the last bit, whichever texts are scored together: the same
products, added in the same order. What scikit-learn does around them is left out.
"""

from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from sentiment import ngrams
from sentiment.exact import Floats, sigmoid
from sentiment.ngrams import Ints, Rows
from sentiment.tokens import tokenize
from sentiment.weighting import TERM_FREQUENCY

_NONE = 0  # no token has this number


class Scored(NamedTuple):
    """Of each text the log-odds of *positive*, its tokens, and those that have no column."""

    log_odds: Floats
    tokens: Ints
    unknown: Ints

    @property
    def probabilities(self) -> Floats:
        return sigmoid(self.log_odds)


class Scorer:
    """What a fitted Pipeline of :func:`sentiment.model.build` knows, laid out to be looked up."""

    def __init__(self, model: Pipeline) -> None:
        vectorizer, linear = model["ngrams"], model["classifier"].linear()
        self._max_n = vectorizer.max_n
        self._index = vectorizer.index()
        # in as few bits as will do, so that key and text fit one number: see ngrams.cells
        self._bits = len(self._index).bit_length()
        self._keys = ngrams.compose(ngrams.parts(vectorizer.keys_), self._bits)
        self._factors = np.column_stack([linear.weights, linear.squares])
        self._intercept = linear.intercept

    def score(self, texts: Sequence[str]) -> Scored:
        ids: list[int] = []
        lengths: list[int] = []
        for text in texts:
            tokens = tokenize(text)
            ids.extend(map(self._index.get, tokens, repeat(_NONE)))
            ids.append(_NONE)  # no n-gram spans two texts
            lengths.append(len(tokens))
        number, length = np.array(ids, np.int64), np.array(lengths, np.int64)
        rows = np.repeat(np.arange(len(texts), dtype=np.int32), length + 1)
        known = number != _NONE
        keys, rows_of_keys = ngrams.known(number, rows, self._max_n, self._bits)
        log_odds = self._sum(keys, rows_of_keys, len(texts))
        unknown = length - np.bincount(rows[known], minlength=len(texts))
        return Scored(log_odds, length, unknown)

    def _sum(self, keys: Ints, rows: Rows, texts: int) -> Floats:
        """Add up the n-grams of each text in the order of the columns, as the Pipeline does."""
        keys, rows, counts = ngrams.cells(keys, rows)
        columns = ngrams.rank(keys, self._keys)
        found = columns >= 0
        terms, rows = TERM_FREQUENCY[counts[found]], rows[found]
        weights, squares = self._factors[columns[found]].T
        score = np.bincount(rows, terms * weights, texts)
        squared = np.bincount(rows, terms**2 * squares, texts)
        inverse = np.divide(1.0, np.sqrt(squared), out=np.zeros(texts), where=squared > 0)
        return score * inverse + self._intercept
