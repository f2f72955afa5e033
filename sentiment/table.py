"""Keys and their columns as a hash table, where a lookup takes two looks at most.

Each key lies in one of two places (Pagh and Rodler 2004, "Cuckoo Hashing"), its column beside it:
one cache line a look, where a binary search in a sorted array of a million keys takes twenty.
"""

import numpy as np

from sentiment.ngrams import UNKNOWN, Ints

# odd, and far from any pattern in the keys: a key's places are the highest bits of the products
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
_ROOM = 2.0  # places for each key; with fewer than that, keys may find none
_LONGEST = 500  # rounds of moving keys aside


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
