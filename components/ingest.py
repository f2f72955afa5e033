"""Bring reviews from a file, S3, the web or the built-in set into one Parquet table."""

import logging
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from components import stage
from components.errors import UserError
from components.io import formats
from components.io.files import replacing
from components.io.formats import ENDINGS
from components.io.reviews import SCHEMA
from components.io.sources import Origin, fetch
from components.stage import Artifact, parameters

log = logging.getLogger("ingest")

LABELS = {"positive": 1, "pos": 1, "1": 1, "1.0": 1, "negative": 0, "neg": 0, "0": 0, "0.0": 0}


def ingest(
    source: str,
    output: Path,
    text_column: str = "text",
    label_column: str = "label",
    format: str | None = None,
    encoding: str = "utf-8",
) -> int:
    """Write the reviews of ``source`` to ``output`` in their order and return their number.

    A missing text stays missing, and validate reports it. Files are fetched one at a time and
    read in batches, so that neither memory nor scratch space grows with their number.

    Raises:
        UserError: the source cannot be read, a column is missing or a label is unknown.
    """
    with tempfile.TemporaryDirectory() as scratch, replacing(output) as partial:
        rows = 0
        with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
            # with a format given, the names in a folder need no ending that tells the format
            for origin in fetch(source, Path(scratch), [""] if format else ENDINGS):
                log.info("reading %s", origin.address)
                file_rows = 0
                for batch in formats.read(origin.path, format, encoding, origin.address):
                    batch = _reviews(batch, file_rows, origin, text_column, label_column)
                    writer.write_table(_table(batch, origin.address))
                    file_rows += len(batch)
                    if len(batch):
                        log.info("%d reviews", rows + file_rows)
                rows += file_rows
        if not rows:
            raise UserError(f"{source}: holds no reviews")
    return rows


def _reviews(
    batch: pd.DataFrame, offset: int, origin: Origin, text_column: str, label_column: str
) -> pd.DataFrame:
    """Return text, label and source of the rows; ``offset`` rows of the file came before them."""
    if origin.only is not None:
        batch = batch[batch["source"] == origin.only]
    source = origin.address
    for flag, column in (("--text-column", text_column), ("--label-column", label_column)):
        if column not in batch.columns:
            found = ", ".join(map(str, batch.columns))
            raise UserError(f"{source}: no column {column!r} among ({found}); see {flag}")
    texts = batch[text_column]
    not_text = texts.map(lambda value: not isinstance(value, str)) & texts.notna()
    if not_text.any():
        at = not_text.to_numpy().argmax()
        kind = type(texts.iloc[at]).__name__
        raise UserError(f"{source}: review {offset + at + 1}: text is a {kind}, not a string")
    labels = batch[label_column].map(lambda value: LABELS.get(str(value).strip().lower()))
    if labels.isna().any():
        at = labels.isna().to_numpy().argmax()
        raise UserError(
            f"{source}: review {offset + at + 1}: label {batch[label_column].iloc[at]!r} is not one"
            " of positive/negative, pos/neg, 1/0"
        )
    return pd.DataFrame({"text": texts, "label": labels.astype("int8"), "source": origin.name})


def _table(batch: pd.DataFrame, source: str) -> pa.Table:
    try:
        return pa.Table.from_pandas(batch, SCHEMA, preserve_index=False)
    except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair
        raise UserError(f"{source}: a text is not valid Unicode ({error})") from error


@parameters
class Parameters:
    source: str = Field(
        min_length=1,
        description="A file or a folder of files, s3://bucket/key or s3://bucket/prefix/,"
        " https://host/path, 'builtin' (25,000 IMDB reviews) or 'builtin:rotten_tomatoes'"
        " (8,530 sentences).",
    )
    text_column: str = Field(default="text", min_length=1, description="Column of the text.")
    label_column: str = Field(
        default="label",
        min_length=1,
        description="Column of the label: positive/negative, pos/neg or 1/0.",
    )
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet"] = Field(
        default="auto", description="Format of the files; auto: by the ending of the name."
    )
    encoding: str = Field(default="utf-8", min_length=1, description="Encoding of CSV and TSV.")


def run(
    reviews: Annotated[
        Path, Artifact("Parquet file to write", "Dataset", output=True, flag="--output")
    ],
    parameters: Parameters,
) -> None:
    ingest(
        parameters.source,
        reviews,
        parameters.text_column,
        parameters.label_column,
        None if parameters.format == "auto" else parameters.format,
        parameters.encoding,
    )
    log.info("done: %s", reviews)


def main(argv: list[str] | None = None) -> int:
    return stage.main("ingest", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
