"""Compressed files and archives: unpacked into a scratch folder, so that readers see plain files.

What a file is, is told by its first bytes: a name may be wrong.
"""

import bz2
import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from components.errors import UserError

COMPRESSED: dict[bytes, tuple[str, Callable[[Path], Any]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
    b"\x28\xb5\x2f\xfd": ("zstd", lambda path: pa.input_stream(str(path), compression="zstd")),
}
COMPRESSED_ENDINGS = (".gz", ".bz2", ".xz", ".zst")
ARCHIVE_ENDINGS = (".zip", ".tar", ".tgz")
ZIP = b"PK\x03\x04"
_TAR = b"ustar"
_TAR_AT = 257  # bytes before this mark
_WORKBOOK = "xl/workbook.xml"  # Excel's files are zip archives


def unpack(path: Path, scratch: Path, address: str) -> Path:
    """Return a file as it is, or what it was unpacked to: a file, or a folder of an archive.

    Raises:
        UserError: the file is damaged, cut or encrypted.
    """
    with path.open("rb") as file:
        start = file.read(_TAR_AT + len(_TAR))
    for magic, (kind, opened) in COMPRESSED.items():
        if start.startswith(magic):
            plain = scratch / "plain"
            with _readable(address, kind), opened(path) as source, plain.open("wb") as target:
                shutil.copyfileobj(source, target)
            path = plain
            with path.open("rb") as file:
                start = file.read(_TAR_AT + len(_TAR))
            break  # a file that is compressed twice is no known format
    if start[_TAR_AT:] == _TAR:
        with _readable(address, "tar"), tarfile.open(path, "r:") as archive:
            return _extract(_tar_members(archive), scratch / "members", address)
    if start.startswith(ZIP):
        with _readable(address, "zip"), zipfile.ZipFile(path) as archive:
            if _WORKBOOK not in archive.namelist():
                return _extract(_zip_members(archive), scratch / "members", address)
    return path


def _tar_members(archive: tarfile.TarFile) -> Iterator[tuple[str, Any]]:
    for member in archive:
        if member.isfile():
            yield member.name, archive.extractfile(member)


def _zip_members(archive: zipfile.ZipFile) -> Iterator[tuple[str, Any]]:
    for member in archive.infolist():
        if not member.is_dir():
            yield member.filename, archive.open(member)


def _extract(members: Iterator[tuple[str, Any]], folder: Path, address: str) -> Path:
    """Write the files of an archive; links and devices are no data and are left out."""
    folder.mkdir()
    for name, content in members:
        inner = PurePosixPath(name.replace("\\", "/"))
        if inner.is_absolute() or ".." in inner.parts:
            raise UserError(f"{address}: the member {name!r} would be written outside its folder")
        target = folder / inner
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise UserError(f"{address}: has two members of the name {name!r}")
        with content, target.open("wb") as file:
            shutil.copyfileobj(content, file)
    return folder


@contextmanager
def _readable(address: str, kind: str) -> Iterator[None]:
    """Name the file in the errors of the libraries; errors of the disk stay as they are."""
    try:
        yield
    except (EOFError, lzma.LZMAError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
        raise UserError(f"{address}: damaged or cut {kind} file ({error})") from error
    except (NotImplementedError, RuntimeError) as error:  # of a password, or a rare compression
        raise UserError(f"{address}: {kind} file that cannot be unpacked ({error})") from error
    except OSError as error:
        if error.errno:
            raise
        raise UserError(f"{address}: damaged or cut {kind} file ({error})") from error
