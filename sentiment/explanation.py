"""Explain a probability: what each n-gram adds to the log-odds, and where it occurs in the text.

The log-odds of a class are a linear function of the n-grams, so that nothing here is an estimate:
the bias and the contributions of all n-grams add up to them.

The work comes in steps, see :mod:`sentiment.steps`, so that a server can do other work between
them.
"""

from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from sentiment import ngram_keys, unseen
from sentiment.exact import Floats, class_probabilities
from sentiment.linear import TERM_FREQUENCY
from sentiment.ngram_keys import MAX_COUNT, UNKNOWN, Ints
from sentiment.parameters import Parameters
from sentiment.steps import STEP, Steps, finish
from sentiment.tokens import Span

_STEM = 32  # units at most; to make the stem of an unseen token takes 10 to 20 us
_OCCURRENCES = 16 * STEP  # of n-grams, handled in a step
_UNKNOWN_TOKEN = 0  # the number of every token that the model does not know
_POSITION_BITS = 32


class Ngram(NamedTuple):
    """An n-gram of a text: its tokens joined by a space, its contribution, its occurrences.

    ``spans`` has the start and the end of each occurrence, shape (occurrences, 2).
    """

    text: str
    contribution: float
    spans: Ints


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
    ``other``, the sum of all other contributions. It is also ``bias`` and the ``shares`` of all
    tokens, in the text's order: each contribution is divided equally among its tokens. ``spans``
    has the start and the end of each token, shape (tokens, 2).
    All values are for the class ``label``. With more than two classes, ``log_odds`` is that class
    against all others, before the probabilities are divided by their sum.
    """

    label: int
    probabilities: list[float]
    log_odds: float
    bias: float
    ngrams: list[Ngram]
    other: float
    spans: Ints
    shares: Floats
    words: Words

    @property
    def tokens(self) -> list[tuple[Span, float]]:
        """Return the span and the share of each token."""
        spans = map(tuple, self.spans.tolist())
        return list(zip(spans, self.shares.tolist(), strict=True))


class _Located(NamedTuple):
    tokens: list[str]
    ids: Ints
    spans: Ints
    words: Words


class _Known(NamedTuple):
    """The distinct known n-grams of a text, in the order of their columns.

    ``firsts`` has the first token of each occurrence, those of one n-gram in the text's order, and
    ``bounds`` where each n-gram begins in it, and its end.
    """

    columns: Ints
    lengths: Ints
    firsts: Ints
    bounds: Ints

    @property
    def counts(self) -> Ints:
        return np.diff(self.bounds)


class Explainer:
    """Explains the probabilities of a fitted Pipeline of :func:`sentiment.model.build`.

    ``limit`` is that of :func:`sentiment.unseen.limit`.
    """

    def __init__(self, parameters: Parameters, limit: float = unseen.DEFAULT_LIMIT) -> None:
        self._locate = parameters.tokenizer().locate
        self._token_size = _STEM if parameters.stemmer else 1
        self._index = ngram_keys.numbers(ngram_keys.unpack(parameters.tokens))
        self._keys = parameters.keys
        self._max_n = int(ngram_keys.lengths(self._keys).max(initial=1))
        self._linear = parameters.linear
        self._limit = limit

    def explain(self, text: str, top: int, label: int | None = None) -> Explanation:
        """Return the probabilities and the parts of that of one class, with ``top`` n-grams.

        Without ``label`` the class is the second of two, or the most probable of more.
        """
        return finish(self.steps(text, top, label))

    def steps(self, text: str, top: int, label: int | None = None) -> Steps[Explanation]:
        """Return the steps of :meth:`explain`."""
        located = yield from self._locate_tokens(text)
        columns = yield from self._find_columns(located.ids)
        known = yield from self._group(columns)
        terms = TERM_FREQUENCY[np.minimum(known.counts, MAX_COUNT)]
        weights = self._linear.weights[known.columns]
        squared = _total(terms**2 * self._linear.squares[known.columns])
        inverse = 1.0 / np.sqrt(squared) if squared > 0 else 0.0
        by_class = [_total(terms * each) for each in weights.T] if weights.ndim > 1 else None
        scores = np.array([_total(terms * weights)]) if by_class is None else np.array([by_class])
        scores = scores * inverse + self._linear.intercept
        probabilities = class_probabilities(scores)[0]
        if label is None:
            label = 1 if len(probabilities) == 2 else int(probabilities.argmax())
        contributions = terms * self._linear.toward(weights, label) * inverse
        strongest = np.argsort(-np.abs(contributions), kind="stable")
        yield len(strongest) // 4
        shown = []
        for number in strongest[:top].tolist():
            shown.append(_ngram(located, known, number, float(contributions[number])))
            yield 16 + len(shown[-1].spans) // 16
        values = contributions / known.counts / known.lengths
        shares = yield from _shares(values, known, len(located.tokens), self._max_n)
        return Explanation(
            label=label,
            probabilities=probabilities.tolist(),
            log_odds=float(self._linear.toward(scores[0], label)),
            bias=float(self._linear.toward(np.asarray(self._linear.intercept), label)),
            ngrams=shown,
            other=float(contributions[strongest[top:]].sum()),
            spans=located.spans,
            shares=shares,
            words=located.words,
        )

    def _locate_tokens(self, text: str) -> Steps[_Located]:
        tokens: list[str] = []
        ids, spans = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        words = known_words = 0
        located = self._locate(text)
        size = len(text) // 8  # of what is done to the whole text before its first token
        while piece := list(islice(located, STEP // self._token_size)):
            found = [token for token, _ in piece]
            numbers = [self._index.get(token, _UNKNOWN_TOKEN) for token in found]
            known = [token for token, number in zip(found, numbers, strict=True) if number]
            words += unseen.count_words(found)
            known_words += unseen.count_words(known)
            tokens += found
            ids.append(np.array(numbers))
            bounds = chain.from_iterable(span for _, span in piece)
            spans.append(np.fromiter(bounds, np.int64, 2 * len(piece)))
            yield size + len(piece) * self._token_size
            size = 0
        yield size
        numbers_of = np.concatenate(ids)
        unknown = len(tokens) - np.count_nonzero(numbers_of)
        is_unseen = unseen.is_above(self._limit, len(tokens), int(unknown)) and unseen.is_above(
            self._limit, len(tokens), words - known_words
        )
        return _Located(
            tokens,
            numbers_of,
            np.concatenate(spans).reshape(-1, 2),
            Words(words, known_words, is_unseen),
        )

    def _find_columns(self, ids: Ints) -> Steps[list[Ints]]:
        """Return for n-grams of 1, 2, … tokens the column of that at each token, -1 for none."""
        columns = []
        keys = np.zeros_like(ids)
        for n in range(min(self._max_n, len(ids))):
            end = len(ids) - n
            keys = keys[:end] | ids[n:] << (2 - n) * ngram_keys.BITS
            found = np.empty(end, np.int64)
            for first in range(0, end, STEP):
                piece = keys[first : first + STEP]
                order = np.argsort(piece)  # neighbours are found in the same lines of memory
                found[first + order] = ngram_keys.positions(piece[order], self._keys)
                yield len(piece) // 2
            for offset in range(n + 1):
                found[ids[offset : end + offset] == _UNKNOWN_TOKEN] = UNKNOWN
            columns.append(found)
        return columns

    def _group(self, columns: list[Ints]) -> Steps[_Known]:
        cells = [np.empty(0, np.int64)]
        for found in columns:
            firsts = np.flatnonzero(found >= 0)
            cells.append(found[firsts] << _POSITION_BITS | firsts)
            cells[-1].sort()
            yield len(firsts) // 16
        ordered = np.concatenate(cells)
        ordered.sort(kind="stable")  # merges what is sorted
        yield len(ordered) // 16
        starts = ngram_keys.run_starts(ordered >> _POSITION_BITS)
        distinct = ordered[starts] >> _POSITION_BITS
        return _Known(
            columns=distinct,
            lengths=ngram_keys.lengths(self._keys[distinct]),
            firsts=ordered & (1 << _POSITION_BITS) - 1,
            bounds=np.append(starts, len(ordered)),
        )


def _total(values: Floats) -> float:
    """Return the sum of the values, added one after the other, as the Pipeline does."""
    return float(np.bincount(np.zeros(len(values), np.int64), values, 1)[0])


def _ngram(located: _Located, known: _Known, number: int, contribution: float) -> Ngram:
    firsts = known.firsts[known.bounds[number] : known.bounds[number + 1]]
    length = int(known.lengths[number])
    text = " ".join(located.tokens[firsts[0] : firsts[0] + length])
    starts, ends = located.spans[firsts, 0], located.spans[firsts + length - 1, 1]
    return Ngram(text, contribution, np.column_stack([starts, ends]))


def _shares(values: Floats, known: _Known, tokens: int, max_n: int) -> Steps[Floats]:
    """Return for each token the sum of the values of the occurrences that contain it."""
    at = np.zeros((max_n, tokens))  # by length and first token
    rows = np.repeat(known.lengths, known.counts) - 1
    each = np.repeat(values, known.counts)
    yield len(rows) // 16
    for first in range(0, len(rows), _OCCURRENCES):
        piece = slice(first, first + _OCCURRENCES)
        at[rows[piece], known.firsts[piece]] = each[piece]
        yield len(rows[piece]) // 16
    shares = np.zeros(tokens)
    for offset in range(min(max_n, tokens)):
        inside = np.zeros(tokens - offset)
        for row in at[offset:, : tokens - offset]:
            inside += row
        shares[offset:] += inside
        yield tokens // 16
    return shares
