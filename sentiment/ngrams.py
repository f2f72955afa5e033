"""Word n-grams as integer keys: count texts apart, merge the counts, look n-grams up.

A token is its place among the sorted tokens, from 1 on, in 21 bits; an n-gram of up to three
tokens is one 64-bit integer with the first token in its highest bits. No string is built for an
n-gram, a lookup is a binary search in one sorted array, and n-grams sort as their texts do. So
shards of the texts can be counted apart, each with tokens of its own: translated to the tokens
of all, their keys are still in order.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from sentiment.tokens import tokenize

Ints = NDArray[np.int64]
MAX_N = 3
MAX_COUNT = 255  # of an n-gram in a text, so that a count is one byte
_BITS = 21
_MASK = (1 << _BITS) - 1
_UNKNOWN = -1
_RANGE_KEYS = 4_000_000  # merged at a time


class Counts(NamedTuple):
    """The n-grams of some texts.

    ``tokens`` are sorted; ``keys`` are sorted n-grams of them; ``matrix``, of shape (texts, keys),
    says how often each occurs in each text, and ``frequencies`` in how many texts.
    """

    tokens: Sequence[str]
    keys: Ints
    frequencies: NDArray[np.int32]
    matrix: csr_array


def count(texts: Iterable[str], max_n: int) -> Counts:
    """Count the n-grams of one to ``max_n`` tokens in each text, in one pass."""
    seen: dict[str, int] = {}
    ids: list[int] = []
    lengths: list[int] = []
    for text in texts:
        found = tokenize(text)
        ids.extend([seen.setdefault(token, len(seen)) for token in found])
        lengths.append(len(found))
    if len(seen) > _MASK:
        raise ValueError(f"{len(seen)} distinct tokens in one shard; make the shards smaller")
    tokens = sorted(seen)
    place = np.empty(len(seen), np.int64)
    place[[seen[token] for token in tokens]] = np.arange(1, len(tokens) + 1)
    rows = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    keys, documents = join(place[np.array(ids, np.int64)], rows, max_n)
    order = np.argsort(keys, kind="stable")  # documents ascend within a key
    keys, documents = keys[order], documents[order]
    new_key = np.diff(keys, prepend=_UNKNOWN) != 0
    cells = np.flatnonzero(new_key | (np.diff(documents, prepend=_UNKNOWN) != 0))
    counts = np.minimum(np.diff(cells, append=len(keys)), MAX_COUNT).astype(np.uint8)
    starts = np.append(np.flatnonzero(new_key[cells]), len(cells)).astype(np.int32)
    shape = (len(lengths), len(starts) - 1)
    matrix = csc_array((counts, documents[cells], starts), shape=shape).tocsr()
    return Counts(tokens, keys[new_key], np.diff(starts), matrix)


def join(ids: Ints, rows: NDArray[np.int32], max_n: int) -> tuple[Ints, NDArray[np.int32]]:
    """Return the key of each n-gram of tokens ``ids`` and its row; none spans two rows."""
    whole = ids << 2 * _BITS
    keys, found_in = [whole], [rows]
    for n in range(1, max_n):
        whole = whole[:-1] | ids[n:] << (2 - n) * _BITS
        inside = rows[n:] == rows[:-n]
        keys.append(whole[inside])
        found_in.append(rows[n:][inside])
    return np.concatenate(keys), np.concatenate(found_in)


def known(ids: Ints, max_n: int) -> Ints:
    """Return the keys of the n-grams of one text that hold no token of number 0."""
    rows = np.cumsum(ids == 0, dtype=np.int32)  # what an unknown token parts is in two rows
    inside = ids > 0
    return join(ids[inside], rows[inside], max_n)[0]


def merge(shards: Sequence[Counts], min_df: int, max_features: int) -> tuple[list[str], Ints]:
    """Return the tokens and the keys of the n-grams that occur in at least ``min_df`` texts.

    Of more than ``max_features`` the most frequent stay. Merges a range of the keys at a time, so
    that memory grows with what is kept and not with what was counted.

    Raises:
        ValueError: nothing is frequent enough.
    """
    known = _frequent_tokens(shards, min_df)
    if not known:
        raise ValueError(f"no token occurs in {min_df} texts or more: nothing to learn")
    tokens = sorted(known)
    index = numbers(tokens)
    kept = [
        _merge_range(shards, index, start, end, min_df) for start, end in _ranges(shards, known)
    ]
    keys = np.concatenate([keys for keys, _ in kept])
    frequencies = np.concatenate([frequencies for _, frequencies in kept])
    if len(keys) > max_features:
        keys = np.sort(keys[np.argsort(-frequencies, kind="stable")[:max_features]])
    return tokens, keys


def numbers(tokens: Iterable[str]) -> dict[str, int]:
    """Return the number that stands for each token in a key."""
    return {token: number for number, token in enumerate(tokens, 1)}


def columns(counts: Counts, index: dict[str, int], keys: Ints) -> csr_array:
    """Return the counts of the n-grams ``keys`` alone, shape (texts, keys)."""
    places = rank(_translate(counts.keys, _places(counts.tokens, index)), keys)
    column = places[counts.matrix.indices]
    known = column >= 0
    starts = np.append(0, np.cumsum(known))[counts.matrix.indptr].astype(np.int32)
    indices = column[known].astype(np.int32)
    shape = (counts.matrix.shape[0], len(keys))
    return csr_array((counts.matrix.data[known], indices, starts), shape=shape)


def rank(keys: Ints, kept: Ints) -> Ints:
    """Return the position of each key in ``kept`` (sorted, not empty), -1 where it is not there."""
    found = np.searchsorted(kept, keys)
    found[found == len(kept)] = 0
    return np.where(kept[found] == keys, found, _UNKNOWN)


def parts(keys: Ints) -> list[Ints]:
    """Return the numbers of the first, second and third tokens, 0 where an n-gram is shorter."""
    return [keys >> place * _BITS & _MASK for place in (2, 1, 0)]


def _frequent_tokens(shards: Sequence[Counts], min_df: int) -> dict[str, int]:
    """Return in how many texts each token is, if in ``min_df``; no more than a key can name."""
    found: dict[str, int] = {}
    for shard in shards:
        single = shard.keys & ((1 << 2 * _BITS) - 1) == 0
        for token, frequency in zip(shard.tokens, shard.frequencies[single].tolist(), strict=True):
            found[token] = found.get(token, 0) + frequency
    frequent = {token: frequency for token, frequency in found.items() if frequency >= min_df}
    if len(frequent) > _MASK:
        ordered = sorted(frequent, key=lambda token: (-frequent[token], token))
        frequent = {token: frequent[token] for token in ordered[:_MASK]}
    return frequent


def _ranges(shards: Sequence[Counts], known: dict[str, int]) -> Iterator[tuple[str, str | None]]:
    """Cut the tokens into ranges in which about as many n-grams start."""
    pieces = 1 + sum(len(shard.keys) for shard in shards) // _RANGE_KEYS
    tokens = sorted(known)
    reached = np.cumsum([known[token] for token in tokens])
    cuts = np.searchsorted(reached, reached[-1] * np.arange(1, pieces) / pieces, side="right")
    bounds = ["", *dict.fromkeys(tokens[cut] for cut in cuts)]
    yield from zip(bounds, [*bounds[1:], None], strict=True)


def _merge_range(
    shards: Sequence[Counts], index: dict[str, int], start: str, end: str | None, min_df: int
) -> tuple[Ints, Ints]:
    """Return keys and document frequencies of the n-grams whose first token is in [start, end)."""
    keys, frequencies = [], []
    for shard in shards:
        low = bisect_left(shard.tokens, start)
        high = len(shard.tokens) if end is None else bisect_left(shard.tokens, end)
        first, last = np.searchsorted(shard.keys, [low + 1 << 2 * _BITS, high + 1 << 2 * _BITS])
        translated = _translate(shard.keys[first:last], _places(shard.tokens, index))
        known = translated >= 0
        keys.append(translated[known])
        frequencies.append(shard.frequencies[first:last][known])
    merged, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    totals = np.bincount(inverse, np.concatenate(frequencies), len(merged)).astype(np.int64)
    return merged[totals >= min_df], totals[totals >= min_df]


def _places(tokens: Sequence[str], index: dict[str, int]) -> Ints:
    """Return for each token of a shard, after none, its number in ``index``, -1 if not there."""
    return np.array([0, *(index.get(token, _UNKNOWN) for token in tokens)], np.int64)


def _translate(keys: Ints, places: Ints) -> Ints:
    """Return the keys with each token replaced by its place, -1 where a token has none."""
    first, second, third = (places[part] for part in parts(keys))
    known = (first >= 0) & (second >= 0) & (third >= 0)
    return np.where(known, first << 2 * _BITS | second << _BITS | third, _UNKNOWN)
