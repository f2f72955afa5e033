"""Files in storage that fsspec knows by its scheme, such as gs:// and az://.

The driver of a scheme is a package of its own (gcsfs, adlfs), and reads the credentials itself.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import fsspec

from components.errors import UnavailableError, UserError
from components.reading import formats
from components.reading.options import Options

CHUNK = 1 << 20  # bytes
_TAGS = ("etag", "ETag", "md5Hash", "crc32c")  # in what a driver tells of a file


def is_address(source: str) -> bool:
    scheme, _, rest = source.partition("://")
    return bool(rest) and scheme in fsspec.available_protocols()


def download(source: str, options: Options, target: Path) -> Iterator[tuple[str, Path]]:
    """Yield the addresses of the files, each with a copy at ``target``.

    Raises:
        UserError: there is no such file, access is denied, or the driver is not installed.
        UnavailableError: the storage does not respond.
    """
    with _errors(source):
        system, paths = _opened(source, options)
    for address, path in paths.items():
        with _errors(address):
            system.get_file(path, str(target))
        yield address, target


def tags(source: str, options: Options) -> dict[str, str]:
    """Return what tells the content of each file by its address: an entity tag, or else a hash.

    Raises:
        UserError: as :func:`download`.
        UnavailableError: as :func:`download`.
    """
    with _errors(source):
        system, paths = _opened(source, options)
        return {address: _tag(system, path) for address, path in paths.items()}


def _opened(source: str, options: Options) -> tuple[Any, dict[str, str]]:
    """Return the file system and the paths in it by their addresses."""
    system, path = fsspec.url_to_fs(source)
    if not source.endswith("/"):
        if system.info(path)["type"] == "directory":
            raise UserError(f"{source}: a folder; write a slash at its end")
        return system, {source: path}
    found = formats.data_under(path, system.find(path), options)
    start = path.rstrip("/")
    return system, {source + name.removeprefix(start).lstrip("/"): name for name in found}


def _tag(system: Any, path: str) -> str:
    known = system.info(path)
    for key in _TAGS:
        if known.get(key):
            return f"etag:{known[key]}"
    digest = hashlib.sha256()
    with system.open(path, "rb") as file:
        while part := file.read(CHUNK):
            digest.update(part)
    return f"sha256:{digest.hexdigest()}"


@contextmanager
def _errors(source: str) -> Iterator[None]:
    """Report the errors of a driver, which may be of any class of its own packages."""
    try:
        yield
    except (UserError, UnavailableError):
        raise
    except ImportError as error:
        raise UserError(f"{source}: a Python package is missing ({error})") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{source}: no such file") from error
    except Exception as error:
        kind = UnavailableError if _is_offline(error) else UserError
        raise kind(f"{source}: {type(error).__name__}: {error}") from error


def _is_offline(error: BaseException) -> bool:
    """Return whether the storage did not respond, or said that the fault is its own."""
    for name in ("status_code", "status", "code"):
        if isinstance(status := getattr(error, name, None), int):
            return status >= HTTPStatus.INTERNAL_SERVER_ERROR
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and not isinstance(cause, PermissionError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
