"""Sum the weights of texts' n-grams with the compiled kernel."""

import ctypes
from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentiment import ngram_keys
from sentiment.kernel.characters import character_classes
from sentiment.linear import TERM_FREQUENCY
from sentiment.ngram_keys import BITS
from sentiment.parameters import Parameters
from sentiment.scores import Scores
from sentiment.tokens import Prepared

ARRAYS = (
    *("tokens", "token_slots", "keys", "slots", "singles", "factors"),
    *("intercepts", "term_frequency"),
)
_NUMBERS = (
    *("token_count", "token_bits", "key_count", "slot_bits", "column_bits", "functions"),
    *("max_n", "nested"),
)
_NONE = 0xFFFFFFFF
_LINE_FEED = 10
_TOKEN_BYTES = 32  # of a Token in score.c


class _Model(ctypes.Structure):
    """``Model`` in score.c."""

    _fields_ = [(name, ctypes.c_void_p) for name in ARRAYS] + [
        (name, ctypes.c_uint32) for name in _NUMBERS
    ]


class CompiledScores:
    """Does what :class:`sentiment.scores.NumpyScores` does, to the last bit."""

    def __init__(self, library: ctypes.PyDLL, parameters: Parameters) -> None:
        arrays, numbers = tables(parameters)
        self._arrays = arrays  # the structure has their addresses alone
        self._model = _Model(*(arrays[name].ctypes.data for name in ARRAYS), *numbers)
        self._address = ctypes.addressof(self._model)
        self._classes = character_classes().ctypes.data  # a cached array, which stays
        self._functions: int = self._model.functions
        self._shape = parameters.linear.weights.shape[1:]
        library.fill_slots(ctypes.c_void_p(self._address))
        self._number = library.number_tokens
        self._number.restype = ctypes.c_int64
        self._number.argtypes = [
            *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
        ]
        self._score = library.score_text
        self._score.restype = ctypes.c_int64
        self._score.argtypes = [*self._number.argtypes, ctypes.c_void_p]

    def of(self, texts: Sequence[Prepared]) -> Scores:
        log_odds = np.empty((len(texts), self._functions))
        counts = np.empty((len(texts), 2), np.int64)
        to, counted = log_odds.ctypes.data, counts.ctypes.data
        for text in texts:
            if isinstance(text, str):
                content, classes = text.encode("utf-8", "surrogatepass"), self._classes
            else:
                content, classes = _lines(text), None
            if self._score(self._address, content, len(content), classes, to, counted):
                raise MemoryError
            to += log_odds.strides[0]
            counted += counts.strides[0]
        return Scores(log_odds.reshape(len(texts), *self._shape), counts[:, 0], counts[:, 1])

    def unknown(self, tokens: Sequence[str]) -> list[str]:
        numbers = np.empty(len(tokens), np.uint32)
        content = _lines(tokens)
        self._number(self._address, content, len(content), None, numbers.ctypes.data)
        return [*compress(tokens, (numbers == 0).tolist())]


def _lines(tokens: Sequence[str]) -> bytes:
    return "\n".join(tokens).encode("utf-8", "surrogatepass")


def tables(parameters: Parameters) -> tuple[dict[str, NDArray[Any]], tuple[int, ...]]:
    """Return the arrays and the numbers of the structure; the slots are empty."""
    keys, linear = np.ascontiguousarray(parameters.keys), parameters.linear
    lengths = ngram_keys.lengths(keys)
    tokens = np.append(parameters.tokens, np.uint8(_LINE_FEED))
    count = int((tokens == _LINE_FEED).sum()) if len(parameters.tokens) else 0
    singles = np.full(count + 1, _NONE, np.uint32)
    singles[keys[lengths == 1] >> 2 * BITS] = np.flatnonzero(lengths == 1)
    token_bits, slot_bits = _slot_bits(count), _slot_bits(len(keys))
    factors = np.column_stack([linear.weights, linear.squares])
    arrays: dict[str, NDArray[Any]] = {
        "tokens": tokens,
        "token_slots": np.zeros(1 << token_bits, f"V{_TOKEN_BYTES}"),
        "keys": keys,
        "slots": np.zeros(1 << slot_bits, np.uint32),
        "singles": singles,
        "factors": factors,
        "intercepts": np.atleast_1d(np.asarray(linear.intercept, float)),
        "term_frequency": TERM_FREQUENCY,
    }
    column_bits = len(keys).bit_length()
    max_n, functions = int(lengths.max(initial=1)), factors.shape[1] - 1
    nested = 0  # until the kernel has filled the slots and knows
    numbers = (count, token_bits, len(keys), slot_bits, column_bits, functions, max_n, nested)
    return arrays, numbers


def _slot_bits(entries: int) -> int:
    """Return the bits of a number of slots that is at least twice the number of entries."""
    return max((2 * entries).bit_length(), 1)
