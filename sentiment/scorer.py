"""Score texts in little more time than tokenizing them takes.

The probabilities equal the Pipeline's to the last bit, whichever texts are scored together: the
same products are added in the same order, without scikit-learn's checks and sparse matrices.
"""

from collections.abc import Sequence
from itertools import compress, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment import ngram_keys, unseen
from sentiment.exact import Floats, class_probabilities
from sentiment.linear import TERM_FREQUENCY
from sentiment.lookup import NONE, Lookup
from sentiment.ngram_keys import Ints
from sentiment.parameters import Parameters

Cells = NDArray[np.signedinteger]
_END = ""  # after each text: an unknown token, so that no n-gram spans two texts


class Scored(NamedTuple):
    """For each text its log-odds, and the numbers of tokens and unknown tokens.

    The log-odds are those of :meth:`sentiment.model.NgramClassifier.decision_function`. ``unseen``
    has the positions of the texts in an unseen language, see :mod:`sentiment.unseen`.
    """

    log_odds: Floats
    tokens: Ints
    unknown: Ints
    unseen: list[int]

    @property
    def probabilities(self) -> Floats:
        """Return the probability of each class for each text, shape (texts, classes)."""
        return class_probabilities(self.log_odds)


class Scorer:
    """Scores texts as a fitted Pipeline of :func:`sentiment.model.build` does.

    ``limit`` is that of :func:`sentiment.unseen.limit`.
    """

    def __init__(self, parameters: Parameters, limit: float = unseen.DEFAULT_LIMIT) -> None:
        linear = parameters.linear
        self._tokenize = parameters.tokenizer().tokenize
        self._lookup = Lookup(parameters)
        self._bits = len(parameters.keys).bit_length()
        self._factors = np.column_stack([linear.weights, linear.squares])
        self._intercept = linear.intercept
        self._limit = limit

    def score(self, texts: Sequence[str]) -> Scored:
        tokens: list[str] = []
        starts, lengths = [], []
        for text in texts:
            starts.append(len(tokens))
            words = self._tokenize(text)
            lengths.append(len(words))
            tokens += words
            tokens.append(_END)
        ids = np.fromiter(map(self._lookup.number, tokens, repeat(NONE)), np.int64, len(tokens))
        length = np.array(lengths, np.int64)
        log_odds = self._sum(self._cells(ids, length + 1), len(texts))
        unknown = np.add.reduceat(ids == NONE, starts, dtype=np.int64) - 1 if starts else length
        found, limit = [], self._limit
        for number, count in enumerate(unknown.tolist()):
            if count and count > limit * lengths[number]:  # few texts: the rest costs no call
                part = slice(starts[number], starts[number] + lengths[number])
                missing = [*compress(tokens[part], (ids[part] == NONE).tolist())]
                if unseen.is_unseen(limit, lengths[number], missing):
                    found.append(number)
        return Scored(log_odds, length, unknown, found)

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
        terms: Floats = TERM_FREQUENCY.take(bounds[1:] - bounds[:-1], mode="clip")  # clipped at MAX_COUNT
        *weights, squares = self._factors.take(columns, axis=0).T
        squared = np.bincount(text_of, terms**2 * squares, texts)
        inverse: Floats = np.divide(1.0, np.sqrt(squared), out=np.zeros(texts), where=squared > 0)
        if len(weights) == 1:
            return np.bincount(text_of, terms * weights[0], texts) * inverse + self._intercept
        scores = [np.bincount(text_of, terms * each, texts) * inverse for each in weights]
        return np.column_stack(scores) + self._intercept
