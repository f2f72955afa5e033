"""Merge the n-grams of shards into one vocabulary; memory does not grow with their number."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from sentiment import negation
from sentiment.kernel import merges
from sentiment.kernel.merges import Frequencies
from sentiment.ngram_keys import BITS, MASK, Ints, numbers, parts, run_starts, translate, unpack
from sentiment.ngrams import Counts, token_numbers

Loader = Callable[[], Counts]  # opens a shard, which may be mapped into memory
_RANGE_KEYS = 4_000_000  # keys merged at a time


def merge(shards: Sequence[Loader], min_df: int, max_features: int) -> tuple[list[str], Ints]:
    """Return the tokens and the keys of the n-grams that occur in at least ``min_df`` texts.

    Of more than ``max_features`` the most frequent are kept, and of equally frequent ones the
    first. One range of the keys is merged at a time, so that memory grows with the n-grams that
    are kept and not with those that were counted.

    If some words are marked as negated (:mod:`sentiment.negation`), each other word gets a marked
    one, too, which counts as frequent as the word: the most frequent words, if keys cannot number
    all.

    Raises:
        ValueError: no token occurs in ``min_df`` texts.
    """
    known = _frequent_tokens(shards, min_df)
    if not known:
        raise ValueError(f"no token occurs in {min_df} texts or more: nothing to learn")
    opposites = _most_common(negation.missing(known), MASK - len(known))
    known |= opposites
    tokens = sorted(known)
    index = numbers(tokens)
    translations = [token_numbers(shard(), index) for shard in shards]
    cuts = _cuts(shards, translations, np.array([known[token] for token in tokens]))
    places = [_places(*each, cuts) for each in zip(shards, translations, strict=True)]
    keys, frequencies = np.empty(0, np.int64), np.empty(0, np.int64)
    for low, high in pairwise(np.transpose(places).tolist()):
        found = _merge_range(shards, translations, low, high, min_df)
        keys, frequencies = map(np.concatenate, zip((keys, frequencies), found, strict=True))
        if len(keys) > 2 * max_features:  # not after each range: sorting is slow
            keys, frequencies = _most_frequent(keys, frequencies, max_features)
    keys = np.append(keys, np.array([index[token] << 2 * BITS for token in opposites], np.int64))
    frequencies = np.append(frequencies, np.array([*opposites.values()], np.int64))
    order = np.argsort(keys)
    return tokens, _most_frequent(keys[order], frequencies[order], max_features)[0]


def _most_frequent(keys: Ints, frequencies: Ints, limit: int) -> tuple[Ints, Ints]:
    if len(keys) <= limit:
        return keys, frequencies
    kept = np.sort(np.argsort(-frequencies, kind="stable")[:limit])
    return keys[kept], frequencies[kept]


def _frequent_tokens(shards: Sequence[Loader], min_df: int) -> dict[str, int]:
    """Return in how many texts each frequent token occurs, for as many tokens as keys can hold."""
    totals: dict[str, int] = {}
    for open_shard in shards:
        shard = open_shard()
        single = shard.keys & ((1 << 2 * BITS) - 1) == 0
        alone = shard.frequencies[single].tolist()
        for token, frequency in zip(unpack(shard.tokens), alone, strict=True):
            totals[token] = totals.get(token, 0) + frequency
    frequent = {token: frequency for token, frequency in totals.items() if frequency >= min_df}
    return _most_common(frequent, MASK)


def _most_common(frequencies: dict[str, int], limit: int) -> dict[str, int]:
    if len(frequencies) <= limit:
        return frequencies
    ordered = sorted(frequencies, key=lambda token: (-frequencies[token], token))
    return {token: frequencies[token] for token in ordered[:limit]}


def _cuts(shards: Sequence[Loader], translations: Sequence[Ints], frequencies: Ints) -> Ints:
    """Return ascending keys, between which lie at most some ``_RANGE_KEYS`` counted n-grams each.

    The n-grams of a frequent first token are divided by the second token: as tokens are, which is
    about as second tokens are.
    """
    of_first = np.zeros(len(frequencies) + 1, np.int64)
    for open_shard, translation in zip(shards, translations, strict=True):
        starts = np.searchsorted(open_shard().keys, np.arange(len(translation) + 1) << 2 * BITS)
        known = translation > 0
        of_first[translation[known]] += np.diff(starts)[known]
    total, numbered = np.cumsum(of_first), np.cumsum(frequencies)
    firsts = np.searchsorted(total, np.arange(0, total[-1], _RANGE_KEYS), side="right")
    ends = np.array([1, len(of_first)]) << 2 * BITS
    cuts = [firsts << 2 * BITS, ends]
    for first in np.flatnonzero(of_first > _RANGE_KEYS):
        pieces = 1 + of_first[first] // _RANGE_KEYS
        shares = numbered[-1] * np.arange(1, pieces) / pieces
        seconds = 1 + np.searchsorted(numbered, shares, side="right")
        cuts += [first << 2 * BITS | seconds << BITS, np.array([first + 1]) << 2 * BITS]
    return np.unique(np.concatenate(cuts))


def _places(open_shard: Loader, translation: Ints, cuts: Ints) -> Ints:
    """Return where the cuts are among the keys of a shard, which has numbers of its own."""
    filled = np.maximum.accumulate(translation)  # ascending, also over unknown tokens
    first, second = (np.searchsorted(filled, part) for part in parts(cuts)[:2])
    has_first = translation.take(first, mode="clip") == cuts >> 2 * BITS
    own = first << 2 * BITS | np.where(has_first, second << BITS, 0)
    return np.searchsorted(open_shard().keys, own)


def _merge_range(
    shards: Sequence[Loader],
    translations: Sequence[Ints],
    low: Sequence[int],
    high: Sequence[int],
    min_df: int,
) -> tuple[Ints, Ints]:
    """Return the n-grams at [low, high) of each shard, and in how many texts each occurs.

    They occur in at least ``min_df`` texts. The kernel in C does the work where it is compiled.
    """
    compiled = merges.load()
    renumber, merge_runs = (
        (compiled.translate, compiled.merge) if compiled else (_translate, _merge_runs)
    )
    keys, frequencies = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    for number, (open_shard, translation) in enumerate(zip(shards, translations, strict=True)):
        inside = slice(low[number], high[number])
        if inside.start == inside.stop:
            continue
        shard = open_shard()
        each = renumber(shard.keys[inside], shard.frequencies[inside], translation)
        keys.append(each[0])
        frequencies.append(each[1])
    return merge_runs(keys, frequencies, min_df)


# what the kernel does, with NumPy


def _translate(keys: Ints, frequencies: Frequencies, translation: Ints) -> tuple[Ints, Frequencies]:
    translated = translate(keys, translation)
    known = translated >= 0
    return translated[known], frequencies[known]


def _merge_runs(
    keys: Sequence[Ints], frequencies: Sequence[Frequencies], min_df: int
) -> tuple[Ints, Ints]:
    merged = np.concatenate(keys)
    order = np.argsort(merged)
    merged = merged[order]
    starts = run_starts(merged)
    totals = np.add.reduceat(np.concatenate(frequencies)[order], starts, dtype=np.int64)
    frequent = totals >= min_df
    return merged[starts][frequent], totals[frequent]
