"""The classes of characters by which the kernel splits a text into tokens."""

import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

_WORD, _SPACE = 1, 2


@cache
def character_classes() -> NDArray[np.uint8]:
    """Return the class of each code point, by the regular expressions of this interpreter."""
    every = np.arange(0x110000, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    classes = np.zeros(len(every), np.uint8)
    for pattern, number in ((r"\w+", _WORD), (r"\s+", _SPACE)):
        for match in re.finditer(pattern, every):
            classes[match.start() : match.end()] = number
    return classes
