"""Find and load the compiled kernel."""

import ctypes
import hashlib
import logging
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("kernel.c")
LIBRARY = Path(__file__).with_name("kernel.so")

log = logging.getLogger("sentiment")


def source_digest() -> str:
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()


@cache
def load(path: Path = LIBRARY) -> ctypes.PyDLL | None:
    """Return the library at ``path``; None if it was not built, or from another source.

    A call keeps the interpreter lock: it is short, and without the lock a request would wait for
    other threads after each text.
    """
    if not path.exists():
        return None
    try:
        library = ctypes.PyDLL(str(path))
        symbol = ctypes.c_char.in_dll(library, "source_digest")
        built_from = ctypes.string_at(ctypes.addressof(symbol))
    except (OSError, ValueError) as error:  # of another processor, or without the symbol
        log.warning("%s: %s; scoring with NumPy", path, error)
        return None
    if built_from.decode() != source_digest():
        log.warning("%s is of another kernel.c: python -m sentiment.kernel.build", path)
        return None
    return library
