"""Parquet and Arrow files; Hugging Face datasets on disk are of the latter."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from components.errors import UserError
from components.io.reviews import BATCH_ROWS, GROUPED, SCHEMA, named_classes
from components.reading.batches import Batch
from components.reading.options import Options, require_columns, wanted_columns

FILE_MAGIC = b"ARROW1"  # of Arrow's file format
STREAM_MAGIC = b"\xff\xff\xff\xff"  # of its stream format
_HUGGING_FACE = b"huggingface"  # key of the metadata with the features of a dataset


def read_parquet(path: Path, options: Options, address: str) -> Iterator[Batch]:
    """Yield the rows of a Parquet file; the other columns are not read."""
    with _arrow_errors(address, "Parquet"), pq.ParquetFile(path) as file:
        require_columns(file.schema_arrow.names, options, address)
        names = {*wanted_columns(options).values()}
        # the reader keeps in memory what one call reads
        groups = range(file.num_row_groups)
        parts = (b for g in groups for b in file.iter_batches(BATCH_ROWS, [g], columns=[*names]))
        # what was added to the metadata at the end is not in the schema
        schema = file.schema_arrow.with_metadata(file.metadata.metadata)
        yield from _batches(parts, schema, options, address)


def read_arrow(path: Path, options: Options, address: str) -> Iterator[Batch]:
    """Yield the rows of an Arrow file, of the file or the stream format."""
    with _arrow_errors(address, "Arrow"), pa.OSFile(str(path)) as source:
        if source.read(len(FILE_MAGIC)) == FILE_MAGIC:
            file = pa.ipc.open_file(source)
            parts = (file.get_batch(number) for number in range(file.num_record_batches))
        else:
            source.seek(0)
            file = parts = pa.ipc.open_stream(source)
        require_columns(file.schema.names, options, address)
        pieces = (p.slice(at, BATCH_ROWS) for p in parts for at in range(0, len(p), BATCH_ROWS))
        yield from _batches(pieces, file.schema, options, address)


def _batches(
    parts: Iterator[pa.RecordBatch], schema: pa.Schema, options: Options, address: str
) -> Iterator[Batch]:
    text = schema.field(options.text_column).type
    kind = text.value_type if pa.types.is_dictionary(text) else text
    if not any(
        is_text(kind)
        for is_text in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_null,
        )
    ):
        raise UserError(f"{address}: column {options.text_column!r} is {text}, not of strings")
    for column in [*wanted_columns(options).values()][1:]:
        found = schema.field(column).type
        if pa.types.is_nested(found) or pa.types.is_binary(found):
            raise UserError(f"{address}: column {column!r} is {found}, not one value")
    names = _class_names(schema, options.label_column)
    if schema.remove_metadata() in (SCHEMA, GROUPED):  # a file that ingest wrote
        names = [*named_classes(schema.metadata, address)]
    before = 0
    for part in parts:
        labels = part.column(options.label_column).to_pylist()
        if names:  # -1 is a label that was left out
            labels = [names[n] if n is not None and 0 <= n < len(names) else None for n in labels]
        groups: list[Any] = [None] * len(labels)
        if options.group_column:
            groups = part.column(options.group_column).to_pylist()
        numbers = [*range(before + 1, before + len(labels) + 1)]
        before += len(labels)
        texts = part.column(options.text_column).to_pylist()
        yield Batch(texts, labels, groups, numbers, "row")


def _class_names(schema: pa.Schema, column: str) -> list[str]:
    """Return the names that Hugging Face stores for a column of numbers, if it does."""
    try:
        info: Any = json.loads((schema.metadata or {}).get(_HUGGING_FACE, b"{}"))
        feature = info["info"]["features"][column]
        return [*map(str, feature["names"])] if feature["_type"] == "ClassLabel" else []
    except (KeyError, TypeError, ValueError):
        return []


@contextmanager
def _arrow_errors(address: str, kind: str) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise UserError(f"{address}: not {kind}, or damaged ({error})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{address}: a text is not UTF-8 ({error})") from error
