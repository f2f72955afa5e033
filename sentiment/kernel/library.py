"""Find and load the compiled kernel."""

import ctypes
import hashlib
import logging
from functools import cache
from pathlib import Path

SOURCES = sorted(path for end in ("c", "h") for path in Path(__file__).parent.glob(f"*.{end}"))
LIBRARY = Path(__file__).with_name("kernel.so")

log = logging.getLogger("sentiment")


def source_digest() -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()


@cache
def load(path: Path = LIBRARY) -> ctypes.PyDLL | None:
    """Return the library at ``path``; None if it was not built, or from other sources.

    A call keeps the interpreter lock: a text's score takes microseconds, and without the lock a
    request would wait for other threads after each text.
    """
    if not path.exists():
        return None
    try:
        library = ctypes.PyDLL(str(path))
        symbol = ctypes.c_char.in_dll(library, "source_digest")
        built_from = ctypes.string_at(ctypes.addressof(symbol))
    except (OSError, ValueError) as error:  # of another processor, or without the symbol
        log.warning("%s: %s; NumPy does its work", path, error)
        return None
    if built_from.decode() != source_digest():
        log.warning("%s is of other sources: python -m sentiment.kernel.build", path)
        return None
    return library


def load_unlocked(path: Path = LIBRARY) -> ctypes.CDLL | None:
    """Return the library as :func:`load` does, for long calls: they release the lock."""
    return ctypes.CDLL(str(path)) if load(path) else None
