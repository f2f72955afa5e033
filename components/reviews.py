"""The table that passes between stages: Parquet with columns text, label and source."""

import hashlib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import StageError
from components.files import replacing

SCHEMA = pa.schema([("text", pa.string()), ("label", pa.int8()), ("source", pa.string())])


def read(path: Path) -> pd.DataFrame:
    """Read a reviews table.

    Raises:
        StageError: the file is missing, damaged or of another schema.
    """
    try:
        table = pq.read_table(path)
    except OSError as error:
        raise StageError(f"{path}: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise StageError(f"{path}: not a Parquet file ({error})") from error
    if not table.schema.equals(SCHEMA):
        found = ", ".join(f"{field.name} {field.type}" for field in table.schema)
        wanted = ", ".join(f"{field.name} {field.type}" for field in SCHEMA)
        raise StageError(f"{path}: columns are ({found}), expected ({wanted})")
    return table.to_pandas()


def read_labelled(path: Path) -> pd.DataFrame:
    """Read a reviews table to learn or measure on: rows of both classes, and no missing value."""
    reviews = read(path)
    missing = reviews.columns[reviews.isna().any()]
    if len(missing):
        raise StageError(f"{path}: column {missing[0]} has missing values; run prepare first")
    if reviews["label"].nunique() < 2:
        raise StageError(f"{path}: {len(reviews)} reviews, not of two classes; more data is needed")
    return reviews


def write(path: Path, reviews: pd.DataFrame) -> None:
    with replacing(path) as partial:
        table = pa.Table.from_pandas(reviews, SCHEMA, preserve_index=False)
        pq.write_table(table.replace_schema_metadata(None), partial, compression="zstd")


def key(text: str) -> str:
    """Return what two copies of a text share: neither white space nor case tells them apart."""
    return " ".join(text.split()).casefold()


def digest(reviews: pd.DataFrame) -> str:
    """Return the SHA-256 over the rows in order, whatever wrote the file."""
    state = hashlib.sha256()
    for text, label in zip(reviews["text"], reviews["label"], strict=True):
        encoded = text.encode()
        state.update(b"%d %d " % (label, len(encoded)))
        state.update(encoded)
    return state.hexdigest()
