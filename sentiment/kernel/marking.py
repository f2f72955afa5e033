"""Mark the words that a negation turns with the compiled kernel."""

import ctypes
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

LONGEST = 8  # bytes of a word
_GROWTH = 4  # a word of one letter and a space become "not_" and both
_SPARE = 8


class Kinds(NamedTuple):
    """What a word may be; a verb has what it is written out as before "not"."""

    function: bool = False
    ends: bool = False
    adds: bool = False
    verb: str | None = None


class _Entry(ctypes.Structure):
    """``Entry`` in mark.c."""

    _fields_ = [
        ("word", ctypes.c_uint64),
        ("whole", ctypes.c_char * LONGEST),
        ("size", ctypes.c_uint32),
        ("kinds", ctypes.c_uint32),
    ]


class Marker:
    """Does what :func:`sentiment.negation.marked` does, for a text of ASCII.

    Raises:
        ValueError: a word has more than eight bytes.
    """

    def __init__(self, compiled: ctypes.PyDLL, words: Mapping[str, Kinds]) -> None:
        if too_long := [word for word in words if len(word.encode()) > LONGEST]:
            raise ValueError(f"{too_long[0]!r} has more than {LONGEST} bytes")
        entries = sorted((int.from_bytes(word.encode(), "little"), word) for word in words)
        self._entries = (_Entry * len(entries))(
            *(_entry(number, words[word]) for number, word in entries)
        )
        self._mark = compiled.mark_words
        self._mark.restype = ctypes.c_int64
        self._mark.argtypes = [
            *(ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
        ]
        self._address, self._count = ctypes.addressof(self._entries), len(entries)

    def marked(self, text: str) -> str:
        size = len(text)
        room = np.empty(_GROWTH * size + _SPARE, np.uint8)
        content, to = text.encode("ascii"), room.ctypes.data
        found = self._mark(content, size, self._address, self._count, to)
        return room[:found].tobytes().decode("ascii") if found else text


def _entry(number: int, kinds: Kinds) -> _Entry:
    flags = (kinds.function, kinds.ends, kinds.adds, kinds.verb is not None)
    whole = (kinds.verb or "").encode()
    return _Entry(number, whole, len(whole), sum(flag << bit for bit, flag in enumerate(flags)))
