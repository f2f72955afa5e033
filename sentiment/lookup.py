"""The columns of the n-grams in a sequence of tokens, as a server looks them up.

A token alone has its column in an array; two or three have it in a hash table. Where no n-gram is
kept without the shorter ones in it, as in most models, only what stands on two kept pairs is
looked up as three: most of the lookups would be of three tokens, and most of them in vain.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sentiment import ngrams
from sentiment.ngrams import BITS, UNKNOWN, Ints
from sentiment.vectorizer import NgramVectorizer

NONE = 0  # the number that no token has

# odd, and far from any pattern in the keys: a key's places are the highest bits of the products
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
_ROOM = 2.0  # places for each key; with fewer than that, keys may find none
_LONGEST = 500  # rounds of moving keys aside


class Lookup:
    """Knows the n-grams of a fitted vectorizer.

    ``number`` returns the number of a token, or what else it is given for one that is unknown.
    """

    number: Callable[[str, int], int]

    def __init__(self, vectorizer: NgramVectorizer) -> None:
        keys = vectorizer.keys_
        columns, lengths, firsts = np.arange(len(keys)), ngrams.lengths(keys), keys >> 2 * BITS
        tokens = ngrams.unpack(vectorizer.tokens_)
        self.number = _by_use(tokens, np.bincount(firsts, minlength=len(tokens) + 1)[1:]).get
        self._singles = np.full(len(tokens) + 1, UNKNOWN)
        self._singles[firsts[lengths == 1]] = columns[lengths == 1]
        self._longer = Table(keys[lengths > 1], columns[lengths > 1])
        self._max_n = int(lengths.max(initial=1))
        self._nested = self._holds_pairs_of(keys[lengths == 3])

    def find(self, ids: Ints) -> Iterator[tuple[Ints, Any]]:
        """Yield, of each length, columns of n-grams (-1 for none), and where in ``ids`` they start.

        No n-gram with ``NONE`` in it is found. The places are an index of NumPy's.
        """
        yield self._singles.take(ids), slice(None)
        if self._max_n == 1:
            return
        pairs = ids[:-1] << 2 * BITS | ids[1:] << BITS
        columns = self._longer.find(pairs)
        yield columns, slice(None, -1)
        if self._max_n == 2:
            return
        if self._nested:
            starts = np.flatnonzero((columns[:-1] >= 0) & (columns[1:] >= 0))
        else:
            starts = np.flatnonzero((ids[:-2] > 0) & (ids[1:-1] > 0) & (ids[2:] > 0))
        yield self._longer.find(pairs.take(starts) | ids.take(starts + 2)), starts

    def _holds_pairs_of(self, triples: Ints) -> bool:
        first, second, third = ngrams.parts(triples)
        pairs = np.append(first << 2 * BITS | second << BITS, second << 2 * BITS | third << BITS)
        return bool((self._longer.find(pairs) >= 0).all())


def _by_use(tokens: list[str], uses: Ints) -> dict[str, int]:
    """Return the number of each token; the common ones lie together in memory."""
    numbers = {}
    for place in np.argsort(-uses, kind="stable").tolist():
        numbers[_copy(tokens[place])] = place + 1
    return numbers


def _copy(token: str) -> str:
    return f"{token} "[:-1]


class Table:
    """Finds the column of each of many keys; no key may be -1, or be there twice."""

    def __init__(self, keys: Ints, columns: Ints) -> None:
        self._bits = max(int(_ROOM * len(keys)).bit_length(), 1)
        while (owners := self._settle(keys)) is None:
            self._bits += 1
        taken = np.flatnonzero(owners >= 0)
        self._slots = np.full((len(owners), 2), UNKNOWN, np.int64)
        self._slots[taken, 0] = keys[owners[taken]]
        self._slots[taken, 1] = columns[owners[taken]]

    def find(self, keys: Ints) -> Ints:
        """Return the column of each key, -1 where it has none."""
        slots = self._slots.take(self._places(keys, 0), axis=0)
        columns = np.where(slots[:, 0] == keys, slots[:, 1], UNKNOWN)
        rest = np.flatnonzero(columns < 0)
        keys = keys.take(rest)
        slots = self._slots.take(self._places(keys, 1), axis=0)
        columns[rest] = np.where(slots[:, 0] == keys, slots[:, 1], UNKNOWN)
        return columns

    def _places(self, keys: Ints, which: int) -> Ints:
        return (keys.view(np.uint64) * _FACTORS[which] >> np.uint64(64 - self._bits)).view(np.int64)

    def _settle(self, keys: Ints) -> Ints | None:
        """Return whose each place is, -1 if nobody's; None if somebody finds none.

        All move at once: who is put out of a place goes to the other of its two.
        """
        places = np.stack([self._places(keys, 0), self._places(keys, 1)])
        owners = np.full(1 << self._bits, UNKNOWN, np.int64)
        which, moving = np.zeros(len(keys), np.int8), np.arange(len(keys))
        for _ in range(_LONGEST):
            if not len(moving):
                return owners
            wanted = places[which[moving], moving]
            before = owners[wanted]
            owners[wanted] = moving  # of several, the last has it
            has_it = owners[wanted] == moving
            put_out = before[has_it]
            moving = np.concatenate([moving[~has_it], put_out[put_out >= 0]])
            which[moving] ^= 1
        return None
