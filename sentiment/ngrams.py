"""Count word n-grams of shards of texts.

Each shard is counted with tokens of its own: translated to the tokens of all shards, the keys of
:mod:`sentiment.ngram_keys` are still sorted.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import count as counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from sentiment.kernel import counting, merges
from sentiment.kernel.merges import Cells
from sentiment.ngram_keys import (
    MASK,
    MAX_COUNT,
    UNKNOWN,
    Ints,
    Rows,
    compose,
    make_keys,
    numbers,
    pack,
    parts,
    positions,
    run_starts,
    translate,
    unpack,
)
from sentiment.tokens import Prepared, split


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


def count(texts: Iterable[str], max_n: int, prepare: Callable[[str], Prepared]) -> Counts:
    """Count the n-grams of 1 to ``max_n`` tokens in each text, in one pass.

    ``prepare`` is that of a :class:`sentiment.tokens.Tokenizer`, or returns the tokens. The kernel
    in C counts where it is compiled, else NumPy does.

    Raises:
        ValueError: the texts have more distinct tokens than a key can number.
    """
    prepared = map(prepare, texts)
    compiled = counting.load()
    return Counts(*compiled.count(prepared, max_n)) if compiled else count_numpy(prepared, max_n)


def count_numpy(texts: Iterable[Prepared], max_n: int) -> Counts:
    """Do what :func:`count` does, without the kernel."""
    seen: dict[str, int] = defaultdict(counter().__next__)
    ids: list[int] = []
    lengths: list[int] = []
    for text in texts:
        words = split(text)
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


def columns(counts: Counts, index: dict[str, int], keys: Ints) -> csr_array:
    """Return the counts of the n-grams ``keys``, shape (texts, keys)."""
    found = token_numbers(counts, index)
    cells = counts.starts, counts.columns, counts.counts
    if compiled := merges.load():
        starts, indices, data = compiled.keep(cells, compiled.find(counts.keys, found, keys))
    else:
        starts, indices, data = _keep(cells, positions(translate(counts.keys, found), keys))
    return csr_array((data, indices, starts), shape=(len(starts) - 1, len(keys)))


def _keep(cells: Cells, new_columns: Ints) -> Cells:
    """Do what the kernel does: give the cells new columns, and leave out those of column -1."""
    starts, columns, counts = cells
    column = new_columns[columns]
    known = column >= 0
    kept_starts = np.append(0, np.cumsum(known))[starts].astype(np.int32)
    return kept_starts, column[known].astype(np.int32), counts[known]


def token_numbers(shard: Counts, index: dict[str, int]) -> Ints:
    """Return by each number of a shard (0: no token) the number in ``index``, -1 if unknown."""
    numbered = (index.get(token, UNKNOWN) for token in unpack(shard.tokens))
    return np.array([0, *numbered], np.int64)
