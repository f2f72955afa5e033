"""Word n-grams as integer keys: count texts apart, merge the counts, look n-grams up.

A token is its place among the sorted tokens, from 1 on, in 21 bits; an n-gram of up to three
tokens is one 64-bit integer with the first token in its highest bits. No string is built for an
n-gram, a lookup is a binary search in one sorted array, and n-grams sort as their texts do. So
shards of the texts can be counted apart, each with tokens of its own: translated to the tokens
of all, their keys are still in order.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count as counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from sentiment.tokens import tokenize

Ints = NDArray[np.int64]
Rows = NDArray[np.int32]
MAX_N = 3
MAX_COUNT = 255  # of an n-gram in a text, so that a count is one byte
BITS = 21
MASK = (1 << BITS) - 1
UNKNOWN = -1


class Counts(NamedTuple):
    """The n-grams of some texts: a shard. All arrays, so that it can lie in files.

    ``tokens`` are sorted, see :func:`pack`; ``keys`` are sorted n-grams of them, and
    ``frequencies`` says in how many texts each is. The text ``i`` has the n-grams
    ``columns[starts[i] : starts[i + 1]]``, each as often as ``counts`` says.
    """

    tokens: NDArray[np.uint8]
    keys: Ints
    frequencies: NDArray[np.int32]
    starts: NDArray[np.int32]
    columns: NDArray[np.int32]
    counts: NDArray[np.uint8]


def pack(tokens: Iterable[str]) -> NDArray[np.uint8]:
    """Return tokens as bytes, UTF-8, one a line."""
    return np.frombuffer("\n".join(tokens).encode(), np.uint8)


def unpack(tokens: NDArray[np.uint8]) -> list[str]:
    return tokens.tobytes().decode().split("\n") if len(tokens) else []


def count(texts: Iterable[str], max_n: int) -> Counts:
    """Count the n-grams of one to ``max_n`` tokens in each text, in one pass."""
    seen: dict[str, int] = defaultdict(counter().__next__)
    ids: list[int] = []
    lengths: list[int] = []
    for text in texts:
        found = tokenize(text)
        ids.extend(map(seen.__getitem__, found))
        lengths.append(len(found))
    if len(seen) > MASK:
        raise ValueError(f"{len(seen)} distinct tokens in one shard; make the shards smaller")
    tokens = sorted(seen)
    place = np.empty(len(seen), np.int64)
    place[[seen[token] for token in tokens]] = np.arange(1, len(tokens) + 1)
    rows = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    bits = len(tokens).bit_length()
    keys, documents, counts = cells(*join(place[np.array(ids, np.int64)], rows, max_n, bits))
    starts = runs(keys)
    ends = np.append(starts, len(keys)).astype(np.int32)
    matrix = csc_array((counts, documents, ends), shape=(len(lengths), len(starts))).tocsr()
    kept = (matrix.indptr, matrix.indices, matrix.data)
    return Counts(pack(tokens), compose(parts(keys[starts], bits)), np.diff(ends), *kept)


def cells(keys: Ints, rows: Rows) -> tuple[Ints, Rows, NDArray[np.uint8]]:
    """Return keys and rows, sorted, no pair of them twice, and how often each pair is there."""
    entries, bits = len(keys), int(rows.max(initial=0)).bit_length()
    if int(keys.max(initial=0)).bit_length() + bits < 64:
        pairs = np.sort(keys << bits | rows)  # ten times as fast as to sort one and carry two
        starts = runs(pairs)
        keys, rows = pairs[starts] >> bits, (pairs[starts] & (1 << bits) - 1).astype(np.int32)
    else:
        order = np.argsort(keys, kind="stable")  # rows ascend within a key
        keys, rows = keys[order], rows[order]
        starts = np.union1d(runs(keys), runs(rows))
        keys, rows = keys[starts], rows[starts]
    counts = np.minimum(np.diff(starts, append=entries), MAX_COUNT).astype(np.uint8)
    return keys, rows, counts


def runs(values: NDArray[np.number]) -> Ints:
    """Return where each run of equal values begins."""
    begins = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return np.flatnonzero(begins)


def join(ids: Ints, rows: Rows, max_n: int, bits: int = BITS) -> tuple[Ints, Rows]:
    """Return the key of each n-gram of tokens ``ids`` and its row; none spans two rows."""
    whole = ids << 2 * bits
    keys, found_in = [whole], [rows]
    for n in range(1, max_n):
        whole = whole[:-1] | ids[n:] << (2 - n) * bits
        inside = rows[n:] == rows[:-n]
        keys.append(whole[inside])
        found_in.append(rows[n:][inside])
    return np.concatenate(keys), np.concatenate(found_in)


def numbers(tokens: Iterable[str]) -> dict[str, int]:
    """Return the number that stands for each token in a key."""
    return {token: number for number, token in enumerate(tokens, 1)}


def columns(counts: Counts, index: dict[str, int], keys: Ints) -> csr_array:
    """Return the counts of the n-grams ``keys`` alone, shape (texts, keys)."""
    places = rank(translate(counts.keys, places_of(counts, index)), keys)
    column = places[counts.columns]
    known = column >= 0
    starts = np.append(0, np.cumsum(known))[counts.starts].astype(np.int32)
    indices = column[known].astype(np.int32)
    return csr_array((counts.counts[known], indices, starts), shape=(len(starts) - 1, len(keys)))


def rank(keys: Ints, kept: Ints) -> Ints:
    """Return the position of each key in ``kept`` (sorted, not empty), -1 where it is not there."""
    found = np.searchsorted(kept, keys)
    found[found == len(kept)] = 0
    return np.where(kept[found] == keys, found, UNKNOWN)


def parts(keys: Ints, bits: int = BITS) -> list[Ints]:
    """Return the numbers of the first, second and third tokens, 0 where an n-gram is shorter."""
    return [keys >> place * bits & (1 << bits) - 1 for place in (2, 1, 0)]


def places_of(shard: Counts, index: dict[str, int]) -> Ints:
    """Return for each token of a shard, after none, its number in ``index``, -1 if not there."""
    numbered = (index.get(token, UNKNOWN) for token in unpack(shard.tokens))
    return np.array([0, *numbered], np.int64)


def lengths(keys: Ints) -> Ints:
    """Return of how many tokens each n-gram is."""
    return np.count_nonzero(parts(keys), axis=0)


def translate(keys: Ints, places: Ints) -> Ints:
    """Return the keys with each token replaced by its place, -1 where a token has none."""
    first, second, third = (places[part] for part in parts(keys))
    known = (first >= 0) & (second >= 0) & (third >= 0)
    return np.where(known, compose([first, second, third]), UNKNOWN)


def compose(parts: Sequence[Ints], bits: int = BITS) -> Ints:
    """Return the keys of which :func:`parts` returns the parts."""
    first, second, third = parts
    return first << 2 * bits | second << bits | third
