"""Explain a probability: what each n-gram adds to the log-odds, and where it occurs in the text.

The log-odds of a class are a linear function of the n-grams, so that nothing here is an estimate:
the bias and the contributions of all n-grams add up to them.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from sentiment import ngram_keys, regression, unseen
from sentiment.exact import Floats, class_probabilities
from sentiment.ngram_keys import MAX_COUNT, Ints
from sentiment.parameters import Parameters
from sentiment.tokens import Span

_UNKNOWN_TOKEN = 0  # the number of every token that the model does not know


class Ngram(NamedTuple):
    """An n-gram of a text: its tokens joined by a space, its contribution, its occurrences."""

    text: str
    contribution: float
    spans: list[Span]


class Words(NamedTuple):
    """The number of a text's words, and of those that the model knows.

    A word is a token that begins with a letter. ``unseen`` is the result of
    :func:`sentiment.unseen.is_unseen`.
    """

    total: int
    known: int
    unseen: bool


class Explanation(NamedTuple):
    """The parts of a text's log-odds, which add up in two ways.

    ``log_odds`` is ``bias``, the contributions of ``ngrams`` (the strongest, strongest first) and
    ``other``, the sum of all other contributions. It is also ``bias`` and the shares of
    ``tokens``, in the text's order: each contribution is divided equally among its tokens.
    All values are for the class ``label``. With more than two classes, ``log_odds`` is that class
    against all others, before the probabilities are divided by their sum.
    """

    label: int
    probabilities: list[float]
    log_odds: float
    bias: float
    ngrams: list[Ngram]
    other: float
    tokens: list[tuple[Span, float]]
    words: Words


class Explainer:
    """Explains the probabilities of a fitted Pipeline of :func:`sentiment.model.build`.

    ``limit`` is that of :func:`sentiment.unseen.limit`.
    """

    def __init__(self, parameters: Parameters, limit: float = unseen.DEFAULT_LIMIT) -> None:
        self._locate = parameters.tokenizer().locate
        self._index = ngram_keys.numbers(ngram_keys.unpack(parameters.tokens))
        self._keys = parameters.keys
        self._max_n = int(ngram_keys.lengths(self._keys).max(initial=1))
        self._linear = parameters.linear
        self._limit = limit

    def explain(self, text: str, top: int, label: int | None = None) -> Explanation:
        """Return the probabilities and the parts of that of one class, with ``top`` n-grams.

        Without ``label`` the class is the second of two, or the most probable of more.
        """
        located = self._locate(text)
        tokens = [token for token, _ in located]
        occurring, firsts, lengths = self._occurrences(tokens)
        columns, ngram, counts = np.unique(occurring, return_inverse=True, return_counts=True)
        row = self._row(columns, counts)
        scores = regression.score(self._linear, row)
        probabilities = class_probabilities(scores)[0]
        if label is None:
            label = 1 if len(probabilities) == 2 else int(probabilities.argmax())
        contributions = regression.contributions(self._linear, row, label).data
        strongest = np.argsort(-np.abs(contributions), kind="stable")
        shown = []
        for number in strongest[:top]:
            occurrences = np.flatnonzero(ngram == number)
            runs = [located[firsts[i] : firsts[i] + lengths[i]] for i in occurrences]
            shown.append(_ngram(runs, float(contributions[number])))
        shares = _shares((contributions / counts)[ngram] / lengths, firsts, lengths, len(located))
        return Explanation(
            label=label,
            probabilities=probabilities.tolist(),
            log_odds=float(self._linear.toward(scores[0], label)),
            bias=float(self._linear.toward(np.asarray(self._linear.intercept), label)),
            ngrams=shown,
            other=float(contributions[strongest[top:]].sum()),
            tokens=[(span, share) for (_, span), share in zip(located, shares, strict=True)],
            words=self._words(tokens),
        )

    def _words(self, tokens: list[str]) -> Words:
        unknown = [token for token in tokens if token not in self._index]
        total = unseen.count_words(tokens)
        is_unseen = unseen.is_unseen(self._limit, len(tokens), unknown)
        return Words(total, total - unseen.count_words(unknown), is_unseen)

    def _occurrences(self, tokens: list[str]) -> tuple[Ints, Ints, Ints]:
        """Return column, first token and length of each occurrence of an n-gram."""
        ids = np.array([self._index.get(token, _UNKNOWN_TOKEN) for token in tokens], np.int64)
        keys, _ = ngram_keys.make_keys(ids, np.zeros(len(ids), np.int32), self._max_n)
        sizes = [max(len(ids) - n, 0) for n in range(self._max_n)]
        firsts = np.concatenate([np.arange(size) for size in sizes])
        lengths = np.repeat(np.arange(1, self._max_n + 1), sizes)
        columns = ngram_keys.positions(keys, self._keys)
        # the key of an n-gram with an unknown token has too few non-zero parts
        kept = (columns >= 0) & (ngram_keys.lengths(keys) == lengths)
        return columns[kept], firsts[kept], lengths[kept]

    def _row(self, columns: Ints, counts: Ints) -> csr_array:
        """Return the row of :meth:`sentiment.vectorizer.NgramVectorizer.transform`."""
        data = np.minimum(counts, MAX_COUNT).astype(np.uint8)
        return csr_array((data, columns, [0, len(columns)]), shape=(1, len(self._keys)))


def _ngram(runs: list[list[tuple[str, Span]]], contribution: float) -> Ngram:
    text = " ".join(token for token, _ in runs[0])
    return Ngram(text, contribution, [(run[0][1][0], run[-1][1][1]) for run in runs])


def _shares(values: Floats, firsts: Ints, lengths: Ints, tokens: int) -> list[float]:
    """Return for each token the sum of the values of the occurrences that contain it."""
    shares = np.zeros(tokens)
    for offset in range(lengths.max(initial=0)):
        inside = lengths > offset
        shares += np.bincount(firsts[inside] + offset, values[inside], minlength=tokens)
    return shares.tolist()
