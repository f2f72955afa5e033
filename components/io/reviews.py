"""The table of reviews between stages: Parquet with columns text, label, source, perhaps group.

A label is the number of a class; the names of the classes stand in the file's metadata. Ingest
writes one file; prepare writes a directory of files, the shards.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from components.errors import UserError
from components.io.files import replacing

SCHEMA = pa.schema([("text", pa.string()), ("label", pa.int8()), ("source", pa.string())])
GROUP = pa.field("group", pa.string())  # null where a review is in no group
GROUPED = SCHEMA.append(GROUP)
BATCH_ROWS = 10_000
CLASSES = ("negative", "positive")  # of a file that names none
LABELLED = "labelled-predictions"  # the source of texts that were labelled after they were served
_CLASSES_KEY = "classes"


def rows(path: Path) -> int:
    with _opened(path) as file:
        number: int = file.metadata.num_rows
    return number


def class_metadata(names: Sequence[str]) -> dict[str, str]:
    """Return the metadata of a file of reviews that names the classes."""
    return {_CLASSES_KEY: json.dumps([*names])}


def classes(path: Path) -> tuple[str, ...]:
    """Return the names of the classes, in the order of their labels.

    Raises:
        UserError: the file is missing, damaged or of another schema.
    """
    first = shards(path)[0]
    with _opened(first) as file:
        return named_classes(file.metadata.metadata, first) or CLASSES


def named_classes(metadata: Mapping[bytes, bytes] | None, path: object) -> tuple[str, ...]:
    """Return the names of classes in the metadata of a Parquet file, none if it names none.

    Raises:
        UserError: the metadata are damaged; the message begins with ``path``.
    """
    found = (metadata or {}).get(_CLASSES_KEY.encode(), b"[]")
    try:
        return tuple(TypeAdapter(list[str]).validate_json(found))
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise UserError(f"{path}: metadata {_CLASSES_KEY}: {message}") from error


def batches(path: Path) -> Iterator[pd.DataFrame]:
    """Yield the rows of one file in their order.

    Raises:
        UserError: the file is missing, damaged or of another schema.
    """
    with _opened(path) as file:
        for group in range(file.num_row_groups):  # the reader keeps in memory what one call reads
            for batch in file.iter_batches(BATCH_ROWS, [group]):
                yield batch.to_pandas()


def shards(path: Path) -> list[Path]:
    """Return the files of a directory from prepare, or the one file that ``path`` is.

    Raises:
        UserError: there is none.
    """
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.parquet"))
    if not found:
        raise UserError(f"{path}: no Parquet files in this directory; run prepare first")
    return found


def freshly_labelled(test: Path) -> Path | None:
    """Return the folder of the labelled predictions on the test side, None if there are none.

    They stand apart from the other test reviews, which stay the same as labels come in.
    """
    folder = test / LABELLED
    return folder if any(folder.glob("*.parquet")) else None


def read(path: Path) -> pd.DataFrame:
    """Read a whole table with all its shards."""
    tables = [batch for shard in shards(path) for batch in batches(shard)]
    empty = SCHEMA.empty_table().to_pandas()
    return pd.concat(tables, ignore_index=True) if tables else empty


def is_grouped(path: Path) -> bool:
    """Return whether a file has the column of groups."""
    with _opened(path) as file:
        return GROUP.name in file.schema_arrow.names


def labelled(path: Path) -> Iterator[pd.DataFrame]:
    """Yield the shards of a labelled table, one at a time.

    Raises:
        UserError: a value is missing, or all reviews have the same label.
    """
    seen: set[int] = set()
    for shard in shards(path):
        table = read(shard)
        needed = table[SCHEMA.names]
        missing = needed.columns[needed.isna().any()]
        if len(missing):
            raise UserError(f"{shard}: column {missing[0]} has missing values; run prepare first")
        seen.update(table["label"].unique().tolist())
        yield table
    if len(seen) < 2:
        raise UserError(f"{path}: all reviews have the same label; more data is needed")


def write(path: Path, reviews: pd.DataFrame, classes: Sequence[str] = CLASSES) -> None:
    with replacing(path) as partial:
        schema = GROUPED if GROUP.name in reviews else SCHEMA
        table = pa.Table.from_pandas(reviews, schema, preserve_index=False)
        named = table.replace_schema_metadata(class_metadata(classes))
        pq.write_table(named, partial, compression="zstd")


def key(text: str) -> str:
    """Return the key of a text: copies differ only in white space and case, and share it."""
    return " ".join(text.split()).casefold()


def identity(text: str) -> str:
    """Return 32 hexadecimal digits that name a text and its copies."""
    return hashlib.sha256(key(text).encode()).hexdigest()[:32]


def digest(tables: Iterable[pd.DataFrame]) -> str:
    """Return the SHA-256 of the rows in order, independent of the number of files."""
    state = hashlib.sha256()
    for table in tables:
        for text, label in zip(table["text"], table["label"], strict=True):
            encoded = text.encode()
            state.update(b"%d %d " % (label, len(encoded)))
            state.update(encoded)
    return state.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow.remove_metadata()
            if not (found.equals(SCHEMA) or found.equals(GROUPED)):
                have, want = (_columns(schema) for schema in (found, SCHEMA))
                raise UserError(f"{path}: columns are ({have}), expected ({want})")
            yield file
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise UserError(f"{path}: not a Parquet file ({error})") from error


def _columns(schema: Iterable[pa.Field]) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)
