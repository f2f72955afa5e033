"""Look up the columns of the n-grams in a sequence of tokens, as the predictor does.

An array has the column of each single token, a hash table those of two and three tokens. In most
models every kept n-gram of three tokens contains two kept pairs. Then only triples on two kept
pairs are looked up: lookups of triples are the most frequent, and most of them find nothing.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sentiment import ngram_keys
from sentiment.ngram_keys import BITS, UNKNOWN, Ints
from sentiment.parameters import Parameters

NONE = 0  # stands for an unknown token; the numbers of known tokens begin at 1

# odd and irregular multipliers: the highest bits of a product are a slot of the key
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
_SLOTS_PER_KEY = 2.0  # with fewer, some keys may not be placed
_MAX_ROUNDS = 500  # of moving keys to their other slot


class Lookup:
    """Finds the columns of a model's n-grams.

    ``number(token, default)`` returns the number of a token, or ``default`` for an unknown one.
    """

    number: Callable[[str, int], int]

    def __init__(self, parameters: Parameters) -> None:
        keys = parameters.keys
        columns, lengths, firsts = np.arange(len(keys)), ngram_keys.lengths(keys), keys >> 2 * BITS
        tokens = ngram_keys.unpack(parameters.tokens)
        self.number = _numbers_by_frequency(
            tokens, np.bincount(firsts, minlength=len(tokens) + 1)[1:]
        ).get
        self._singles = np.full(len(tokens) + 1, UNKNOWN)
        self._singles[firsts[lengths == 1]] = columns[lengths == 1]
        self._longer = HashTable(keys[lengths > 1], columns[lengths > 1])
        self._max_n = int(lengths.max(initial=1))
        self._nested = self._contains_pairs_of(keys[lengths == 3])

    def find(self, ids: Ints) -> Iterator[tuple[Ints, Any]]:
        """Yield for n-grams of 1, 2 and 3 tokens their columns (-1: none) and starts in ``ids``.

        The starts are a NumPy index: an array or a slice. N-grams with ``NONE`` have no column.
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

    def _contains_pairs_of(self, triples: Ints) -> bool:
        first, second, third = ngram_keys.parts(triples)
        pairs = np.append(first << 2 * BITS | second << BITS, second << 2 * BITS | third << BITS)
        return bool((self._longer.find(pairs) >= 0).all())


def _numbers_by_frequency(tokens: list[str], uses: Ints) -> dict[str, int]:
    """Return the number of each token, in an order that keeps frequent ones close in memory."""
    numbers = {}
    for position in np.argsort(-uses, kind="stable").tolist():
        numbers[_copy(tokens[position])] = position + 1
    return numbers


def _copy(token: str) -> str:
    """Return an equal string in newly allocated memory."""
    return f"{token} "[:-1]


class HashTable:
    """Maps unique keys, none of them -1, to columns in at most two memory accesses a key.

    Each key lies in one of two slots, its column beside it (Pagh and Rodler 2004, "Cuckoo
    Hashing"). A binary search in a sorted array of a million keys takes twenty accesses.
    """

    def __init__(self, keys: Ints, columns: Ints) -> None:
        self._bits = max(int(_SLOTS_PER_KEY * len(keys)).bit_length(), 1)
        while (owners := self._assign_slots(keys)) is None:
            self._bits += 1
        filled = np.flatnonzero(owners >= 0)
        self._slots = np.full((len(owners), 2), UNKNOWN, np.int64)
        self._slots[filled, 0] = keys[owners[filled]]
        self._slots[filled, 1] = columns[owners[filled]]

    def find(self, keys: Ints) -> Ints:
        """Return the column of each key, -1 for a key that the table does not have."""
        slots = self._slots.take(self._slots_of(keys, 0), axis=0)
        columns = np.where(slots[:, 0] == keys, slots[:, 1], UNKNOWN)
        rest = np.flatnonzero(columns < 0)
        keys = keys.take(rest)
        slots = self._slots.take(self._slots_of(keys, 1), axis=0)
        columns[rest] = np.where(slots[:, 0] == keys, slots[:, 1], UNKNOWN)
        return columns

    def _slots_of(self, keys: Ints, which: int) -> Ints:
        return (keys.view(np.uint64) * _FACTORS[which] >> np.uint64(64 - self._bits)).view(np.int64)

    def _assign_slots(self, keys: Ints) -> Ints | None:
        """Return the key index in each slot (-1: empty), or None if a key could not be placed.

        All keys without a slot move at once: a key that another one evicts goes to the other of
        its two slots.
        """
        candidates = np.stack([self._slots_of(keys, 0), self._slots_of(keys, 1)])
        owners = np.full(1 << self._bits, UNKNOWN, np.int64)
        which, moving = np.zeros(len(keys), np.int8), np.arange(len(keys))
        for _ in range(_MAX_ROUNDS):
            if not len(moving):
                return owners
            wanted = candidates[which[moving], moving]
            before = owners[wanted]
            owners[wanted] = moving  # of several keys for one slot, the last gets it
            placed = owners[wanted] == moving
            evicted = before[placed]
            moving = np.concatenate([moving[~placed], evicted[evicted >= 0]])
            which[moving] ^= 1
        return None
