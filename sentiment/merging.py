"""Many shards' n-grams into one vocabulary, in memory that does not grow with their number."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from sentiment.ngrams import BITS, MASK, Counts, Ints, numbers, places_of, runs, translate, unpack

Loader = Callable[[], Counts]  # brings a shard, or the parts of it that are looked at, into memory
_RANGE_KEYS = 1_000_000  # merged at a time


def merge(shards: Sequence[Loader], min_df: int, max_features: int) -> tuple[list[str], Ints]:
    """Return the tokens and the keys of the n-grams that occur in at least ``min_df`` texts.

    Of more than ``max_features`` the most frequent stay, the first of equals. Merges a range of
    the keys at a time, so that memory grows with what is kept and not with what was counted.

    Raises:
        ValueError: nothing is frequent enough.
    """
    known = _frequent_tokens(shards, min_df)
    if not known:
        raise ValueError(f"no token occurs in {min_df} texts or more: nothing to learn")
    tokens = sorted(known)
    index = numbers(tokens)
    places = [places_of(shard(), index) for shard in shards]
    entries = sum(len(shard().keys) for shard in shards)
    keys, frequencies = np.empty(0, np.int64), np.empty(0, np.int64)
    for low, high in _ranges([known[token] for token in tokens], entries):
        more, how_often = _merge_range(shards, places, low, high)
        frequent = how_often >= min_df
        keys = np.concatenate([keys, more[frequent]])
        frequencies = np.concatenate([frequencies, how_often[frequent]])
        if len(keys) > 2 * max_features:  # not after each range, as to sort takes longer
            keys, frequencies = _most_frequent(keys, frequencies, max_features)
    return tokens, _most_frequent(keys, frequencies, max_features)[0]


def _most_frequent(keys: Ints, frequencies: Ints, most: int) -> tuple[Ints, Ints]:
    if len(keys) <= most:
        return keys, frequencies
    kept = np.sort(np.argsort(-frequencies, kind="stable")[:most])
    return keys[kept], frequencies[kept]


def _frequent_tokens(shards: Sequence[Loader], min_df: int) -> dict[str, int]:
    """Return in how many texts each token is, if in ``min_df``; no more than a key can name."""
    found: dict[str, int] = {}
    for load in shards:
        shard = load()
        single = shard.keys & ((1 << 2 * BITS) - 1) == 0
        alone = shard.frequencies[single].tolist()
        for token, frequency in zip(unpack(shard.tokens), alone, strict=True):
            found[token] = found.get(token, 0) + frequency
    frequent = {token: frequency for token, frequency in found.items() if frequency >= min_df}
    if len(frequent) > MASK:
        ordered = sorted(frequent, key=lambda token: (-frequent[token], token))
        frequent = {token: frequent[token] for token in ordered[:MASK]}
    return frequent


def _ranges(frequencies: Sequence[int], entries: int) -> Iterator[tuple[int, int]]:
    """Cut the numbers of tokens into ranges [low, high) in which about as many n-grams start."""
    pieces = 1 + entries // _RANGE_KEYS
    reached = np.cumsum(frequencies)
    cuts = 1 + np.searchsorted(reached, reached[-1] * np.arange(1, pieces) / pieces, side="right")
    yield from pairwise(np.unique([1, *cuts, len(reached) + 1]).tolist())


def _merge_range(
    shards: Sequence[Loader], places: Sequence[Ints], low: int, high: int
) -> tuple[Ints, Ints]:
    """Return n-grams whose first token has a number in [low, high), and how many texts have it."""
    keys, frequencies = [], []
    for load, place in zip(shards, places, strict=True):
        inside = np.flatnonzero((place >= low) & (place < high))
        if not len(inside):
            continue
        bounds = [int(inside[0]) << 2 * BITS, int(inside[-1]) + 1 << 2 * BITS]
        shard = load()
        first, last = np.searchsorted(shard.keys, bounds)
        translated = translate(shard.keys[first:last], place)
        known = translated >= 0
        keys.append(translated[known])
        frequencies.append(shard.frequencies[first:last][known])
    found = np.concatenate(keys)
    order = np.argsort(found)
    found = found[order]
    starts = runs(found)
    totals = np.add.reduceat(np.concatenate(frequencies)[order], starts, dtype=np.int64)
    return found[starts], totals
