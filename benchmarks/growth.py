"""Make reviews by rule from the built-in ones, so that tokens and n-grams grow as in real text.

The number of different n-grams of 1, 2 and 3 tokens follows Heaps' law, V = K N^b, where N is the
number of tokens (Heaps 1978, "Information Retrieval"). The laws are fitted to the built-in reviews.
Those come first, each once; a made review then begins as one of them, and at each token

- splices: it goes on after another place of the same token, in a review of the same label. That
  makes a trigram of two known bigrams;
- or has another token of the reviews in this place, which makes bigrams, too;
- or has a rare new word, drawn from the tail of Zipf's law whose exponent and constant are those of
  the law of single tokens. So new words come at its rate, and come again as rare words do.

The rates are the slopes of the laws at N, divided by the shares of such n-grams that are new.
"""

from collections.abc import Sequence
from math import gamma
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.tokens import tokenize

Ints = NDArray[np.int64]
NEW_BIGRAMS, NEW_TRIGRAMS = 0.5, 0.6  # shares; chosen with 25,000 made of 5,000 real reviews
FIRST = 1_000  # reviews at which the fit of a law begins
_BITS = 21  # of a token's number


class Law(NamedTuple):
    """Heaps' law: ``k * tokens**b`` different n-grams."""

    k: float
    b: float

    def slope(self, tokens: float) -> float:
        return self.k * self.b * tokens ** (self.b - 1)


class Corpus(NamedTuple):
    """Reviews as numbers of tokens, one after the other; ``words`` has the texts of the numbers."""

    tokens: Ints
    lengths: Ints
    labels: Ints
    words: list[str]


def corpus(table: pd.DataFrame) -> Corpus:
    numbers: dict[str, int] = {}
    split = [tokenize(text) for text in table["text"]]
    tokens = [numbers.setdefault(token, len(numbers)) for review in split for token in review]
    lengths = np.array([len(review) for review in split])
    return Corpus(np.array(tokens), lengths, table["label"].to_numpy(np.int64), list(numbers))


def different(tokens: Ints, lengths: Ints, n: int, reviews: Sequence[int]) -> list[int]:
    """Return how many different n-grams the first 1,000, ... ``reviews`` have."""
    review = np.repeat(np.arange(len(lengths)), lengths)
    keys = tokens[: len(tokens) - n + 1]
    for at in range(1, n):
        keys = keys << _BITS | tokens[at : len(tokens) - n + 1 + at]
    starts = review[: len(keys)]
    keys, starts = (each[starts == review[n - 1 :]] for each in (keys, starts))
    _, first = np.unique(keys, return_index=True)
    return [int((starts[first] < limit).sum()) for limit in reviews]


def law(given: Corpus, n: int) -> Law:
    """Fit Heaps' law for n-grams by least squares of the logarithms."""
    last = len(given.lengths)
    sizes = np.unique(np.geomspace(min(FIRST, last // 2), last, 6).astype(int))
    tokens = given.lengths.cumsum()[sizes - 1]
    counted = different(given.tokens, given.lengths, n, sizes.tolist())
    b, log_k = np.polyfit(np.log(tokens), np.log(counted), 1)
    return Law(float(np.exp(log_k)), float(b))


class Reviews:
    """Makes reviews of a table; those of a number are the same in every call."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self.base = corpus(table)
        self.laws = [law(self.base, n) for n in (1, 2, 3)]
        self.starts = self.base.lengths.cumsum() - self.base.lengths
        labels = np.repeat(self.base.labels, self.base.lengths)
        self._kind = self.base.tokens * (labels.max() + 1) + labels  # token and label of a place
        self._places = np.argsort(self._kind, kind="stable")
        self._counts = np.bincount(self._kind)
        self._first = self._counts.cumsum() - self._counts

    def shard(self, start: int, rows: int) -> pd.DataFrame:
        """Return the reviews ``start``, ``start + 1``, ...; the first are those of the table."""
        own = self.table.iloc[start : start + rows]
        begin = max(start, len(self.table))
        if begin >= start + rows:
            return own
        picked, lengths, tokens = self.make(begin, start + rows - begin)
        known = self.base.words
        words = [known[each] if each < len(known) else f"zq{each}" for each in tokens.tolist()]
        ends = lengths.cumsum().tolist()
        texts = [" ".join(words[low:high]) for low, high in zip([0, *ends], ends, strict=False)]
        made = self.table.iloc[picked].assign(text=texts)
        return pd.concat([own, made], ignore_index=True)

    def make(self, start: int, rows: int) -> tuple[Ints, Ints, Ints]:
        """Return for made reviews which they begin as, their lengths, and their tokens.

        Numbers of tokens from ``len(words)`` on are of new words.
        """
        random = np.random.default_rng(start)
        read = start * float(self.base.lengths.mean())  # tokens before
        pairs, triples = (each.slope(read) for each in self.laws[1:])
        replace = pairs / NEW_BIGRAMS / 2
        splice = max(0.0, triples / NEW_TRIGRAMS - 3 * replace)
        picked = random.integers(0, len(self.base.lengths), rows)
        picked = picked[np.argsort(-self.base.lengths[picked], kind="stable")]
        lengths = self.base.lengths[picked]
        at = self.starts[picked]
        columns = np.full((rows, lengths.max()), -1)
        for column in range(lengths.max()):
            active = int(np.searchsorted(-lengths, -column))  # the longest come first
            draws = random.random(active)
            jump = np.flatnonzero(draws < splice)
            kinds = self._kind[at[jump]]
            columns[:active, column] = self.base.tokens[at[:active]]
            chosen = (random.random(len(jump)) * self._counts[kinds]).astype(int)
            at[jump] = self._places[self._first[kinds] + chosen]
            other = np.flatnonzero(draws > 1 - replace)
            columns[other, column] = self.base.tokens[
                random.integers(0, len(self.base.tokens), len(other))
            ]
            new = np.flatnonzero(random.random(active) < self.tail)
            columns[new, column] = self._ranks(random.random(len(new)))
            at[:active] = (at[:active] + 1) % len(self.base.tokens)
        return picked, lengths, columns[columns >= 0]

    @property
    def tail(self) -> float:
        """The probability of the words that Zipf's law has beyond those of the reviews."""
        k, b = self.laws[0]
        constant = (k / gamma(1 - b)) ** (1 / b)
        return float(constant * len(self.base.words) ** (1 - 1 / b) / (1 / b - 1))

    def _ranks(self, uniform: NDArray[np.float64]) -> Ints:
        b = self.laws[0].b
        return (len(self.base.words) * (1 - uniform) ** (-b / (1 - b))).astype(np.int64)
