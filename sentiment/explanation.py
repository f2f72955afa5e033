"""Why a text has its probability: what each n-gram adds to the log-odds, and where it stands.

The model is a linear function of the n-grams, so nothing here is an estimate: the contributions
of all n-grams and the bias add up to the log-odds.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from sklearn.pipeline import Pipeline

from sentiment import ngrams
from sentiment.exact import Floats, sigmoid
from sentiment.ngrams import MAX_COUNT, Ints
from sentiment.tokens import Span, locate

_NONE = 0  # no token has this number


class Ngram(NamedTuple):
    """``text`` has the n-gram's tokens, joined by a space; ``spans`` are where it occurs."""

    text: str
    contribution: float
    spans: list[Span]


class Explanation(NamedTuple):
    """``log_odds`` is ``bias``, the contributions of ``ngrams``, and ``other``, added up.

    ``ngrams`` are the strongest ones, strongest first, and ``other`` is the sum of the rest.
    Shared out among their tokens, all contributions are in ``tokens``, in the text's order.
    """

    probability: float
    log_odds: float
    bias: float
    ngrams: list[Ngram]
    other: float
    tokens: list[tuple[Span, float]]


class Explainer:
    """What a fitted Pipeline of :func:`sentiment.model.build` knows, laid out to explain it."""

    def __init__(self, model: Pipeline) -> None:
        vectorizer, classifier = model["ngrams"], model["classifier"]
        self._max_n = vectorizer.max_n
        self._index = vectorizer.index()
        self._keys = vectorizer.keys_
        self._linear = classifier.linear()

    def explain(self, text: str, top: int) -> Explanation:
        """Return the probability of *positive* and why, with the ``top`` strongest n-grams."""
        located = locate(text)
        found, firsts, lengths = self._occurrences([token for token, _ in located])
        columns, ngram, counts = np.unique(found, return_inverse=True, return_counts=True)
        row = self._row(columns, counts)
        log_odds = self._linear.score(row)
        contributions = self._linear.contributions(row).data
        strongest = np.argsort(-np.abs(contributions), kind="stable")
        shown = []
        for each in strongest[:top]:
            at = np.flatnonzero(ngram == each)
            runs = [located[firsts[i] : firsts[i] + lengths[i]] for i in at]
            shown.append(_ngram(runs, float(contributions[each])))
        shares = _shares((contributions / counts)[ngram] / lengths, firsts, lengths, len(located))
        return Explanation(
            probability=float(sigmoid(log_odds)[0]),
            log_odds=float(log_odds[0]),
            bias=float(self._linear.intercept),
            ngrams=shown,
            other=float(contributions[strongest[top:]].sum()),
            tokens=[(span, share) for (_, span), share in zip(located, shares, strict=True)],
        )

    def _occurrences(self, tokens: list[str]) -> tuple[Ints, Ints, Ints]:
        """Return column, first token and length of each n-gram, as often as it occurs."""
        ids = np.array([self._index.get(token, _NONE) for token in tokens], np.int64)
        keys, _ = ngrams.join(ids, np.zeros(len(ids), np.int32), self._max_n)
        sizes = [max(len(ids) - n, 0) for n in range(self._max_n)]
        firsts = np.concatenate([np.arange(size) for size in sizes])
        lengths = np.repeat(np.arange(1, self._max_n + 1), sizes)
        columns = ngrams.rank(keys, self._keys)
        # with an unknown token in it, the key is that of a shorter n-gram
        kept = (columns >= 0) & (ngrams.lengths(keys) == lengths)
        return columns[kept], firsts[kept], lengths[kept]

    def _row(self, columns: Ints, counts: Ints) -> csr_array:
        """Return the row of :meth:`sentiment.vectorizer.NgramVectorizer.transform`."""
        data = np.minimum(counts, MAX_COUNT).astype(np.uint8)
        return csr_array((data, columns, [0, len(columns)]), shape=(1, len(self._keys)))


def _ngram(runs: list[list[tuple[str, Span]]], contribution: float) -> Ngram:
    text = " ".join(token for token, _ in runs[0])
    return Ngram(text, contribution, [(run[0][1][0], run[-1][1][1]) for run in runs])


def _shares(values: Floats, firsts: Ints, lengths: Ints, tokens: int) -> list[float]:
    """Return for each token the sum of the values of the occurrences that it is part of."""
    shares = np.zeros(tokens)
    for place in range(lengths.max(initial=0)):
        inside = lengths > place
        shares += np.bincount(firsts[inside] + place, values[inside], minlength=tokens)
    return shares.tolist()
