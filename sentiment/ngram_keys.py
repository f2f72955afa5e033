"""Word n-grams as integer keys.

The number of a token is its position among the sorted tokens, from 1, in 21 bits. The key of an
n-gram of up to three tokens is a 64-bit integer with the first token in its highest bits. No
string is built for an n-gram, a lookup is a binary search in a sorted array, and keys sort as
their texts do.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Rows = NDArray[np.int32]
MAX_N = 3
MAX_COUNT = 255  # of an n-gram in a text: a count is one byte
BITS = 21
MASK = (1 << BITS) - 1
UNKNOWN = -1


def pack(tokens: Iterable[str]) -> NDArray[np.uint8]:
    """Return tokens as UTF-8 bytes, one token a line."""
    return np.frombuffer("\n".join(tokens).encode(), np.uint8)


def unpack(tokens: NDArray[np.uint8]) -> list[str]:
    return tokens.tobytes().decode().split("\n") if len(tokens) else []


def numbers(tokens: Iterable[str]) -> dict[str, int]:
    """Return the number of each token, as in the keys."""
    return {token: number for number, token in enumerate(tokens, 1)}


def make_keys(ids: Ints, rows: Rows, max_n: int, bits: int = BITS) -> tuple[Ints, Rows]:
    """Return key and row of each n-gram of the tokens ``ids``; no n-gram spans two rows."""
    whole = ids << 2 * bits
    keys, key_rows = [whole], [rows]
    for n in range(1, max_n):
        whole = whole[:-1] | ids[n:] << (2 - n) * bits
        inside = rows[n:] == rows[:-n]
        keys.append(whole[inside])
        key_rows.append(rows[n:][inside])
    return np.concatenate(keys), np.concatenate(key_rows)


def compose(parts: Sequence[Ints], bits: int = BITS) -> Ints:
    """Return the keys of these parts, the inverse of :func:`parts`."""
    first, second, third = parts
    return first << 2 * bits | second << bits | third


def parts(keys: Ints, bits: int = BITS) -> list[Ints]:
    """Return the numbers of the first, second and third tokens, 0 where an n-gram is shorter."""
    return [keys >> position * bits & (1 << bits) - 1 for position in (2, 1, 0)]


def lengths(keys: Ints) -> Ints:
    """Return the number of tokens of each n-gram."""
    return np.count_nonzero(parts(keys), axis=0)


def translate(keys: Ints, new_numbers: Ints) -> Ints:
    """Return the keys with ``new_numbers`` of their tokens, -1 where a token has -1."""
    first, second, third = (new_numbers[part] for part in parts(keys))
    known = (first >= 0) & (second >= 0) & (third >= 0)
    return np.where(known, compose([first, second, third]), UNKNOWN)


def positions(keys: Ints, kept: Ints) -> Ints:
    """Return the position of each key in ``kept`` (sorted, not empty), -1 if it is not in it."""
    found = np.searchsorted(kept, keys)
    found[found == len(kept)] = 0
    return np.where(kept[found] == keys, found, UNKNOWN)


def run_starts(values: NDArray[np.number]) -> Ints:
    """Return the position at which each run of equal values begins."""
    is_start = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=is_start[1:])
    return np.flatnonzero(is_start)
