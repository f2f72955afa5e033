"""Word n-grams as integer keys: count texts apart, merge the counts, look n-grams up.

A token is its place among the sorted tokens, from 1 on, in 21 bits; an n-gram of up to three
tokens is one 64-bit integer with the first token in its highest bits. No string is built for an
n-gram, a lookup is a binary search in one sorted array, and n-grams sort as their texts do. So
shards of the texts can be counted apart, each with tokens of its own: translated to the tokens
of all, their keys are still in order.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from sentiment.tokens import tokenize

Ints = NDArray[np.int64]
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
    seen: dict[str, int] = {}
    ids: list[int] = []
    lengths: list[int] = []
    for text in texts:
        found = tokenize(text)
        ids.extend([seen.setdefault(token, len(seen)) for token in found])
        lengths.append(len(found))
    if len(seen) > MASK:
        raise ValueError(f"{len(seen)} distinct tokens in one shard; make the shards smaller")
    tokens = sorted(seen)
    place = np.empty(len(seen), np.int64)
    place[[seen[token] for token in tokens]] = np.arange(1, len(tokens) + 1)
    rows = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    keys, documents = join(place[np.array(ids, np.int64)], rows, max_n)
    order = np.argsort(keys, kind="stable")  # documents ascend within a key
    keys, documents = keys[order], documents[order]
    new_key = np.diff(keys, prepend=UNKNOWN) != 0
    cells = np.flatnonzero(new_key | (np.diff(documents, prepend=UNKNOWN) != 0))
    counts = np.minimum(np.diff(cells, append=len(keys)), MAX_COUNT).astype(np.uint8)
    starts = np.append(np.flatnonzero(new_key[cells]), len(cells)).astype(np.int32)
    shape = (len(lengths), len(starts) - 1)
    matrix = csc_array((counts, documents[cells], starts), shape=shape).tocsr()
    kept = (matrix.indptr, matrix.indices, matrix.data)
    return Counts(pack(tokens), keys[new_key], np.diff(starts), *kept)


def join(ids: Ints, rows: NDArray[np.int32], max_n: int) -> tuple[Ints, NDArray[np.int32]]:
    """Return the key of each n-gram of tokens ``ids`` and its row; none spans two rows."""
    whole = ids << 2 * BITS
    keys, found_in = [whole], [rows]
    for n in range(1, max_n):
        whole = whole[:-1] | ids[n:] << (2 - n) * BITS
        inside = rows[n:] == rows[:-n]
        keys.append(whole[inside])
        found_in.append(rows[n:][inside])
    return np.concatenate(keys), np.concatenate(found_in)


def known(ids: Ints, max_n: int) -> Ints:
    """Return the keys of the n-grams of one text that hold no token of number 0."""
    rows = np.cumsum(ids == 0, dtype=np.int32)  # what an unknown token parts is in two rows
    inside = ids > 0
    return join(ids[inside], rows[inside], max_n)[0]


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


def parts(keys: Ints) -> list[Ints]:
    """Return the numbers of the first, second and third tokens, 0 where an n-gram is shorter."""
    return [keys >> place * BITS & MASK for place in (2, 1, 0)]


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
    return np.where(known, first << 2 * BITS | second << BITS | third, UNKNOWN)
