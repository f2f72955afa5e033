"""The account of rows: what became of each row that was read, file by file.

It stands in the metadata of the Parquet files of reviews, so that each stage can report it.
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from components.errors import UserError
from components.io.records import record

KEY = "files"  # of the metadata


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


_FILES = TypeAdapter(list[FileAccount])


def metadata(files: Iterable[FileAccount]) -> dict[str, str]:
    """Return the metadata to write into a Parquet file."""
    return {KEY: _FILES.dump_json([*files]).decode()}


def read(path: Path) -> list[FileAccount]:
    """Return the account in a Parquet file, an empty one if the file has none.

    Raises:
        UserError: the file cannot be read, or its account is damaged.
    """
    try:
        found = (pq.read_metadata(path).metadata or {}).get(KEY.encode(), b"[]")
        return _FILES.validate_json(found)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise UserError(f"{path}: not a Parquet file ({error})") from error
    except ValidationError as error:
        raise UserError(f"{path}: metadata {KEY}: {error.errors()[0]['msg']}") from error
