"""Count word n-grams of shards of texts as integer keys, and translate and look up the keys.

The number of a token is its position among the sorted tokens, from 1, in 21 bits. The key of an
n-gram of up to three tokens is a 64-bit integer with the first token in its highest bits. No
string is built for an n-gram, a lookup is a binary search in a sorted array, and keys sort as
their texts do. So each shard can be counted with tokens of its own: translated to the tokens of
all shards, its keys are still sorted.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import count as counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

Ints = NDArray[np.int64]
Rows = NDArray[np.int32]
MAX_N = 3
MAX_COUNT = 255  # of an n-gram in a text: a count is one byte
BITS = 21
MASK = (1 << BITS) - 1
UNKNOWN = -1


class Counts(NamedTuple):
    """The n-grams of a shard of texts, as arrays that can be saved to files.

    ``tokens`` are sorted and packed by :func:`pack`, ``keys`` are the sorted keys of the n-grams,
    and ``frequencies`` is the number of texts with each. Text ``i`` has the n-grams
    ``columns[starts[i] : starts[i + 1]]``, and ``counts`` of the same slice is how often.
    """

    tokens: NDArray[np.uint8]
    keys: Ints
    frequencies: NDArray[np.int32]
    starts: NDArray[np.int32]
    columns: NDArray[np.int32]
    counts: NDArray[np.uint8]


def pack(tokens: Iterable[str]) -> NDArray[np.uint8]:
    """Return tokens as UTF-8 bytes, one token a line."""
    return np.frombuffer("\n".join(tokens).encode(), np.uint8)


def unpack(tokens: NDArray[np.uint8]) -> list[str]:
    return tokens.tobytes().decode().split("\n") if len(tokens) else []


def count(texts: Iterable[str], max_n: int, tokenize: Callable[[str], list[str]]) -> Counts:
    """Count the n-grams of 1 to ``max_n`` tokens in each text, in one pass.

    Raises:
        ValueError: the texts have more distinct tokens than a key can number.
    """
    seen: dict[str, int] = defaultdict(counter().__next__)
    ids: list[int] = []
    lengths: list[int] = []
    for text in texts:
        words = tokenize(text)
        ids.extend(map(seen.__getitem__, words))
        lengths.append(len(words))
    if len(seen) > MASK:
        raise ValueError(f"{len(seen)} distinct tokens in one shard; make the shards smaller")
    tokens = sorted(seen)
    number = np.empty(len(seen), np.int64)
    number[[seen[token] for token in tokens]] = np.arange(1, len(tokens) + 1)
    rows = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    bits = len(tokens).bit_length()
    keys, documents, counts = count_pairs(
        *make_keys(number[np.array(ids, np.int64)], rows, max_n, bits)
    )
    starts = run_starts(keys)
    ends = np.append(starts, len(keys)).astype(np.int32)
    matrix = csc_array((counts, documents, ends), shape=(len(lengths), len(starts))).tocsr()
    by_text = (matrix.indptr, matrix.indices, matrix.data)
    return Counts(pack(tokens), compose(parts(keys[starts], bits)), np.diff(ends), *by_text)


def reduce(counts: Counts, reduction: Callable[[str], str]) -> Counts:
    """Return the n-grams of the same texts with each token reduced, such as to its stem.

    They are those that :func:`count` finds in the reduced tokens, without reading the texts again.
    """
    reduced = [reduction(token) for token in unpack(counts.tokens)]
    tokens = sorted({*reduced})
    index = numbers(tokens)
    translated = translate(
        counts.keys, np.array([0, *(index[token] for token in reduced)], np.int64)
    )
    keys, column = np.unique(translated, return_inverse=True)
    cells = (counts.counts.astype(np.int64), column[counts.columns], counts.starts)
    matrix = csr_array(cells, shape=(len(counts.starts) - 1, len(keys)))
    matrix.sum_duplicates()  # and sort the columns of each text
    frequencies = np.bincount(matrix.indices, minlength=len(keys)).astype(np.int32)
    columns, starts = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    summed = np.minimum(matrix.data, MAX_COUNT).astype(np.uint8)
    return Counts(pack(tokens), keys, frequencies, starts, columns, summed)


def count_pairs(keys: Ints, rows: Rows) -> tuple[Ints, Rows, NDArray[np.uint8]]:
    """Return the distinct pairs of key and row, sorted, and how often each occurs."""
    entries, bits = len(keys), int(rows.max(initial=0)).bit_length()
    if int(keys.max(initial=0)).bit_length() + bits < 64:
        pairs = np.sort(keys << bits | rows)  # ten times as fast as argsort
        starts = run_starts(pairs)
        keys, rows = pairs[starts] >> bits, (pairs[starts] & (1 << bits) - 1).astype(np.int32)
    else:
        order = np.argsort(keys, kind="stable")  # rows ascend within a key
        keys, rows = keys[order], rows[order]
        starts = np.union1d(run_starts(keys), run_starts(rows))
        keys, rows = keys[starts], rows[starts]
    counts = np.minimum(np.diff(starts, append=entries), MAX_COUNT).astype(np.uint8)
    return keys, rows, counts


def run_starts(values: NDArray[np.number]) -> Ints:
    """Return the position at which each run of equal values begins."""
    is_start = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=is_start[1:])
    return np.flatnonzero(is_start)


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


def numbers(tokens: Iterable[str]) -> dict[str, int]:
    """Return the number of each token, as in the keys."""
    return {token: number for number, token in enumerate(tokens, 1)}


def columns(counts: Counts, index: dict[str, int], keys: Ints) -> csr_array:
    """Return the counts of the n-grams ``keys``, shape (texts, keys)."""
    by_own_column = positions(translate(counts.keys, token_numbers(counts, index)), keys)
    column = by_own_column[counts.columns]
    known = column >= 0
    starts = np.append(0, np.cumsum(known))[counts.starts].astype(np.int32)
    indices = column[known].astype(np.int32)
    return csr_array((counts.counts[known], indices, starts), shape=(len(starts) - 1, len(keys)))


def positions(keys: Ints, kept: Ints) -> Ints:
    """Return the position of each key in ``kept`` (sorted, not empty), -1 if it is not in it."""
    found = np.searchsorted(kept, keys)
    found[found == len(kept)] = 0
    return np.where(kept[found] == keys, found, UNKNOWN)


def parts(keys: Ints, bits: int = BITS) -> list[Ints]:
    """Return the numbers of the first, second and third tokens, 0 where an n-gram is shorter."""
    return [keys >> position * bits & (1 << bits) - 1 for position in (2, 1, 0)]


def token_numbers(shard: Counts, index: dict[str, int]) -> Ints:
    """Return by each number of a shard (0: no token) the number in ``index``, -1 if unknown."""
    numbered = (index.get(token, UNKNOWN) for token in unpack(shard.tokens))
    return np.array([0, *numbered], np.int64)


def lengths(keys: Ints) -> Ints:
    """Return the number of tokens of each n-gram."""
    return np.count_nonzero(parts(keys), axis=0)


def translate(keys: Ints, new_numbers: Ints) -> Ints:
    """Return the keys with ``new_numbers`` of their tokens, -1 where a token has -1."""
    first, second, third = (new_numbers[part] for part in parts(keys))
    known = (first >= 0) & (second >= 0) & (third >= 0)
    return np.where(known, compose([first, second, third]), UNKNOWN)


def compose(parts: Sequence[Ints], bits: int = BITS) -> Ints:
    """Return the keys of these parts, the inverse of :func:`parts`."""
    first, second, third = parts
    return first << 2 * bits | second << bits | third
