"""Score texts in little more time than tokenizing them takes.

The probabilities equal the Pipeline's to the last bit, whichever texts are scored together: the
same products are added in the same order, without scikit-learn's checks and sparse matrices.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sentiment import unseen
from sentiment.compiled_scores import CompiledScores
from sentiment.exact import Floats, class_probabilities
from sentiment.kernel import library
from sentiment.ngram_keys import Ints
from sentiment.parameters import Parameters
from sentiment.scores import NumpyScores
from sentiment.tokens import split


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

    ``limit`` is that of :func:`sentiment.unseen.limit`. The kernel in C does the work where it is
    compiled, else NumPy does.
    """

    def __init__(self, parameters: Parameters, limit: float = unseen.DEFAULT_LIMIT) -> None:
        self._prepare = parameters.tokenizer().prepare
        compiled = library.load()
        self._scores = CompiledScores(compiled, parameters) if compiled else NumpyScores(parameters)
        self._limit = limit

    def score(self, texts: Sequence[str]) -> Scored:
        prepared = [*map(self._prepare, texts)]
        log_odds, tokens, unknown = self._scores.of(prepared)
        found, limit = [], self._limit
        counts = zip(tokens.tolist(), unknown.tolist(), strict=True)
        for position, (total, missing) in enumerate(counts):
            if missing > limit * total:  # few texts: the rest costs no call
                names = self._scores.unknown(split(prepared[position]))
                if unseen.is_unseen(limit, total, names):
                    found.append(position)
        return Scored(log_odds, tokens, unknown, found)
