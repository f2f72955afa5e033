"""Count n-grams of texts with the compiled kernel."""

import ctypes
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiment.kernel import library
from sentiment.kernel.characters import character_classes
from sentiment.ngram_keys import MASK, Ints

_MOST_BYTES = 2**32 - 1  # of the texts of a shard, and of its columns, which are 32-bit integers
_MOST_TOKENS = (2**31 - 1) // 3

# tokens, keys, frequencies, starts, columns, counts of sentiment.ngrams.Counts
Arrays = tuple[
    NDArray[np.uint8],
    Ints,
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.uint8],
]


class Counter:
    """Does what :func:`sentiment.ngrams.count` does with NumPy, to the last bit.

    Calls release the interpreter lock.
    """

    def __init__(self, compiled: ctypes.CDLL) -> None:
        self._number, self._count = compiled.number_words, compiled.count_ngrams
        for function in (self._number, self._count):
            function.restype = ctypes.c_int64

    def count(self, texts: Iterable[str | list[str]], max_n: int) -> Arrays:
        """Return the fields of :class:`sentiment.ngrams.Counts`.

        Raises:
            ValueError: the texts are too many for one shard.
        """
        content, ends, by_line = _joined(texts)
        ids = np.empty(len(content), np.uint32)
        starts = np.empty(len(ends) + 1, np.int64)
        packed = np.empty(2 * len(content), np.uint8)
        size = ctypes.c_int64()
        distinct = self._number(
            content,
            _address(ends),
            _address(by_line),
            ctypes.c_int64(len(ends)),
            _address(character_classes()),
            _address(ids),
            _address(starts),
            _address(packed),
            ctypes.byref(size),
        )
        if distinct < 0:
            raise MemoryError
        if distinct > MASK:
            raise ValueError(f"{distinct} distinct tokens in one shard; make the shards smaller")
        tokens = int(starts[-1])
        if tokens > _MOST_TOKENS:
            raise ValueError(f"{tokens} tokens in one shard; make the shards smaller")
        most = 3 * tokens  # n-grams; memory that is not written to is not used
        keys, frequencies = np.empty(most, np.int64), np.empty(most, np.int32)
        rows = np.empty(len(starts), np.int32)
        columns, counts = np.empty(most, np.int32), np.empty(most, np.uint8)
        rooms = [np.empty(most, np.uint32) for _ in range(2)]
        written: tuple[NDArray[Any], ...] = (*rooms, keys, frequencies, rows, columns, counts)
        found = self._count(
            _address(ids),
            _address(starts),
            ctypes.c_int64(len(ends)),
            ctypes.c_uint32(int(distinct).bit_length()),
            ctypes.c_uint32(max_n),
            *(_address(array) for array in written),
        )
        pairs = int(rows[-1])
        # copies, so that the rest of the memory is free
        by_ngram = keys[:found].copy(), frequencies[:found].copy()
        return (
            packed[: size.value].copy(),
            *by_ngram,
            rows,
            columns[:pairs].copy(),
            counts[:pairs].copy(),
        )


def _joined(texts: Iterable[str | list[str]]) -> tuple[bytes, Ints, NDArray[np.bool_]]:
    """Return all texts in UTF-8, the end of each, and whether its tokens are a line each."""
    encoded, by_line = [], []
    for text in texts:
        by_line.append(not isinstance(text, str))
        encoded.append((text if isinstance(text, str) else "\n".join(text)).encode())
    ends = np.cumsum([len(each) for each in encoded], dtype=np.int64)
    if len(ends) and ends[-1] > _MOST_BYTES:
        raise ValueError(f"{ends[-1]} bytes of text in one shard; make the shards smaller")
    return b"".join(encoded), ends, np.array(by_line, bool)


def _address(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@cache
def load() -> Counter | None:
    """Return the compiled counter, None where the kernel is not compiled."""
    compiled = library.load_unlocked()
    return Counter(compiled) if compiled else None
