"""Sum the weights of texts' n-grams with NumPy, where the kernel is not compiled."""

from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment import ngram_keys
from sentiment.exact import Floats
from sentiment.linear import TERM_FREQUENCY
from sentiment.lookup import NONE, Lookup
from sentiment.ngram_keys import MAX_COUNT, Ints
from sentiment.parameters import Parameters
from sentiment.tokens import Prepared, split

Cells = NDArray[np.signedinteger]
_END = ""  # after each text: an unknown token, so that no n-gram spans two texts


class Scores(NamedTuple):
    """The log-odds of each text, and the numbers of its tokens and of the unknown ones.

    The log-odds have the shape of the scores of :class:`sentiment.linear.Linear`.
    """

    log_odds: Floats
    tokens: Ints
    unknown: Ints


class NumpyScores:
    def __init__(self, parameters: Parameters) -> None:
        linear = parameters.linear
        self._lookup = Lookup(parameters)
        self._bits = len(parameters.keys).bit_length()
        self._factors = np.column_stack([linear.weights, linear.squares])
        self._intercept = linear.intercept

    def of(self, texts: Sequence[Prepared]) -> Scores:
        """Return the scores of texts that are prepared for their tokens."""
        tokens: list[str] = []
        starts, lengths = [], []
        for text in texts:
            starts.append(len(tokens))
            words = split(text)
            lengths.append(len(words))
            tokens += words
            tokens.append(_END)
        ids = np.fromiter(map(self._lookup.number, tokens, repeat(NONE)), np.int64, len(tokens))
        length = np.array(lengths, np.int64)
        log_odds = self._sum(self._cells(ids, length + 1), len(texts))
        unknown = np.add.reduceat(ids == NONE, starts, dtype=np.int64) - 1 if starts else length
        return Scores(log_odds, length, unknown)

    def unknown(self, tokens: Sequence[str]) -> list[str]:
        """Return the tokens that the model does not know, in their order."""
        return [token for token in tokens if self._lookup.number(token, NONE) == NONE]

    def _cells(self, ids: Ints, lengths: Ints) -> Cells:
        """Return text and column of each known n-gram as one integer, sorted."""
        text_of: Cells = np.repeat(np.arange(len(lengths)) << self._bits, lengths)
        if len(lengths).bit_length() + self._bits < 32:
            text_of = text_of.astype(np.int32)  # 32 bits sort faster than 64
        # in two's complement, column -1 stays -1
        cells = [
            columns.astype(text_of.dtype) | text_of[starts]
            for columns, starts in self._lookup.find(ids)
        ]
        ordered = np.concatenate(cells)
        ordered.sort()
        return ordered[ordered.searchsorted(0) :]

    def _sum(self, cells: Cells, texts: int) -> Floats:
        """Return the sum over each text's n-grams, in the order of columns, as in the Pipeline."""
        bounds = np.append(ngram_keys.run_starts(cells), len(cells))
        cells = cells.take(bounds[:-1])
        text_of, columns = cells >> self._bits, cells & (1 << self._bits) - 1
        counts = np.minimum(bounds[1:] - bounds[:-1], MAX_COUNT)
        terms: Floats = TERM_FREQUENCY.take(counts)
        *weights, squares = self._factors.take(columns, axis=0).T
        squared = np.bincount(text_of, terms**2 * squares, texts)
        inverse: Floats = np.divide(1.0, np.sqrt(squared), out=np.zeros(texts), where=squared > 0)
        if len(weights) == 1:
            return np.bincount(text_of, terms * weights[0], texts) * inverse + self._intercept
        scores = [np.bincount(text_of, terms * each, texts) * inverse for each in weights]
        return np.column_stack(scores) + self._intercept
