"""The account of rows: what became of each row that was read, file by file.

It stands in the metadata of the Parquet file of reviews, and after prepare in a file beside the
test reviews, so that each stage can report it.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from components.errors import UserError
from components.io import records
from components.io.records import record

Kind = TypeVar("Kind")

KEY = "files"  # of the metadata
FILE = "rows.json"  # in the directory of the test reviews
CONTENT = "content"  # of the sources, as components.reading.content tells it


@record
class FileAccount:
    """The rows of a file: ``read`` is ``kept`` and all that were dropped, by the reason."""

    file: str
    read: int
    kept: int
    dropped: dict[str, int]

    def __str__(self) -> str:
        reasons = "".join(f", {count} dropped ({why})" for why, count in self.dropped.items())
        return f"{self.file}: {self.read} rows read, {self.kept} kept{reasons}"


@record
class RowAccount:
    """The account of ingest by file, and the rows that prepare dropped of those kept, by reason.

    ``sources`` is the digest of what the sources hold, empty if it is not known.
    """

    files: list[FileAccount]
    prepared: dict[str, int]
    sources: str = ""


_FILES = TypeAdapter(list[FileAccount])
_CONTENT = TypeAdapter(dict[str, str])


def metadata(files: Iterable[FileAccount], content: dict[str, str]) -> dict[str, str]:
    """Return the metadata to write into a Parquet file."""
    return {KEY: _FILES.dump_json([*files]).decode(), CONTENT: json.dumps(content)}


def beside(path: Path) -> RowAccount | None:
    """Return the account in a directory that prepare wrote, None if the directory is older.

    Raises:
        UserError: the account cannot be read.
    """
    file = path / FILE
    return records.read(file, RowAccount) if file.exists() else None


def read(path: Path) -> list[FileAccount]:
    """Return the account in a Parquet file, an empty one if the file has none.

    Raises:
        UserError: the file cannot be read, or its account is damaged.
    """
    return _read(path, KEY, _FILES) or []


def content(path: Path) -> dict[str, str]:
    """Return what tells the content of each source, by its name; nothing if the file is older.

    Raises:
        UserError: the file cannot be read, or its metadata are damaged.
    """
    return _read(path, CONTENT, _CONTENT) or {}


def digest(content: dict[str, str]) -> str:
    """Return the SHA-256 of what tells the content of each source."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read(path: Path, key: str, kind: TypeAdapter[Kind]) -> Kind | None:
    try:
        found = (pq.read_metadata(path).metadata or {}).get(key.encode())
        return None if found is None else kind.validate_json(found)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise UserError(f"{path}: not a Parquet file ({error})") from error
    except ValidationError as error:
        raise UserError(f"{path}: metadata {key}: {error.errors()[0]['msg']}") from error
