"""Write a temporary file, then rename it: an output is complete or absent."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from components.errors import UserError, describe


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write a file to; rename it to ``path`` when the block ends without error.

    A killed writer leaves ``.NAME.partial``, which the next writer replaces.
    """
    if not path.name or path.is_dir():
        raise UserError(f"{path}: is a directory; a file is written here")
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        _flush(partial)
        partial.replace(path)
    except OSError as error:
        message = describe(error, path).replace(str(partial), str(path))
        _remove(partial)
        raise UserError(message) from error
    except BaseException:
        _remove(partial)
        raise


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory; put it in the place of ``path`` when the block ends."""
    if not path.name or (path.exists() and not path.is_dir()):
        raise UserError(f"{path}: is a file; a directory is written here")
    partial = path.with_name(f".{path.name}.partial")
    old = path.with_name(f".{path.name}.old")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        for file in partial.rglob("*"):
            _flush(file)
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)  # a directory cannot be renamed over one that is not empty
        partial.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        message = describe(error, path).replace(str(partial), str(path))
        shutil.rmtree(partial, ignore_errors=True)
        raise UserError(message) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def read_argument(flag: str, path: Path) -> str:
    """Return the text of a file that a flag names, without the blanks around it."""
    try:
        return path.read_text().strip()
    except OSError as error:
        raise UserError(f"{flag} {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{flag} {path}: not a text in UTF-8") from error


def write_json(path: Path, value: Any) -> None:
    with replacing(path) as partial:
        partial.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error})") from error


def _remove(partial: Path) -> None:
    with suppress(OSError):  # a failed clean-up must not hide the error that led to it
        partial.unlink()


def _flush(path: Path) -> None:
    """Sync the content before the rename, so that a power cut leaves no empty file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
