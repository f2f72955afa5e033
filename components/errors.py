"""Errors by whose fault they are, with the exit code of each, and messages of errors of files."""

import errno
import shutil
import tempfile
from pathlib import Path


class UserError(Exception):
    """The user must fix something; the message names the file, field or flag."""

    exit_code = 1


class UnavailableError(Exception):
    """A server, the cluster or the network failed; the same command may succeed later."""

    exit_code = 4


def describe(error: OSError, path: Path | None = None) -> str:
    """Return ``FILE: reason``; ``path`` is the file that was written, if the error names none."""
    reason = error.strerror or str(error)
    if error.filename is not None:
        return f"{error.filename}: {reason}"
    if error.errno == errno.ENOSPC:
        path = path or Path.cwd()
        if tempfile.tempdir:  # set by the first temporary file; the error may be of one
            path = _fuller(path, Path(tempfile.tempdir))
    elif error.errno is None and " requested and " in reason:  # NumPy's words for a short write
        reason += "; the disk may be full"
    return f"{path}: {reason}" if path else reason


def _fuller(*paths: Path) -> Path:
    """Return the path whose disk has the least free space; the first of equal ones."""
    return min(paths, key=lambda path: shutil.disk_usage(_existing(path)).free)


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.absolute().parents) if each.is_dir())
