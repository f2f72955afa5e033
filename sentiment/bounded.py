"""Read files that others may replace: only regular files, and none above a size."""

import os
import stat
from io import BufferedReader
from pathlib import Path

# a FIFO without a writer is opened at once, and refused, instead of being waited for
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_file(path: Path, limit: int) -> BufferedReader:
    """Open a regular file of at most ``limit`` bytes.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no regular file, or larger.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path}: not a regular file")
        if status.st_size > limit:
            raise ValueError(f"{path}: {status.st_size} bytes, and {limit} are allowed")
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, limit: int) -> bytes:
    """Return the contents of a file; it raises what :func:`open_file` does."""
    with open_file(path, limit) as file:
        data = file.read(limit + 1)
    if len(data) > limit:  # it has grown since it was opened, or has no size, as those of /proc
        raise ValueError(f"{path}: more than {limit} bytes")
    return data
