"""Bring reviews from a file, S3, the web or the built-in set into one Parquet table."""

import argparse
import logging
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components import cli
from components.errors import UserError
from components.io import formats
from components.io.files import replacing
from components.io.formats import ENDINGS, FORMATS
from components.io.reviews import SCHEMA
from components.io.sources import Origin, fetch

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

    A missing text stays missing, for validate to report. Files are fetched one at a time and
    read in batches, so that neither memory nor scratch space grows with their number.

    Raises:
        UserError: the source cannot be read, a column is missing or a label is unknown.
    """
    with tempfile.TemporaryDirectory() as scratch, replacing(output) as partial:
        rows = 0
        with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
            # with a format given, the files of a folder need no ending that tells it
            for origin in fetch(source, Path(scratch), [""] if format else ENDINGS):
                log.info("reading %s", origin.address)
                of_file = 0
                for batch in formats.read(origin.path, format, encoding, origin.address):
                    batch = _reviews(batch, of_file, origin, text_column, label_column)
                    writer.write_table(_table(batch, origin.address))
                    of_file += len(batch)
                    if len(batch):
                        log.info("%d reviews", rows + of_file)
                rows += of_file
        if not rows:
            raise UserError(f"{source}: no reviews in it")
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
    strange = texts.map(lambda value: not isinstance(value, str)) & texts.notna()
    if strange.any():
        at = strange.to_numpy().argmax()
        kind = type(texts.iloc[at]).__name__
        raise UserError(f"{source}: review {offset + at + 1}: text is a {kind}, not a string")
    given = batch[label_column].map(lambda value: str(value).strip().lower())
    labels = given.map(LABELS)
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


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.ingest", description=__doc__)
    parser.add_argument(
        "--source",
        required=True,
        help="a file or a folder of files, s3://bucket/key or s3://bucket/prefix/, https://host/path,"
        " 'builtin' (25,000 IMDB reviews) or 'builtin:rotten_tomatoes' (8,530 sentences)",
    )
    parser.add_argument("--output", required=True, type=Path, help="Parquet file to write")
    parser.add_argument("--text-column", default="text", help="default: %(default)s")
    parser.add_argument("--label-column", default="label", help="default: %(default)s")
    parser.add_argument("--format", choices=FORMATS, help="default: by the ending of the name")
    parser.add_argument("--encoding", default="utf-8", help="of CSV and TSV; default: %(default)s")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        ingest(
            args.source,
            args.output,
            args.text_column,
            args.label_column,
            args.format,
            args.encoding,
        )
        log.info("done: %s", args.output)

    return cli.run("ingest", work)


if __name__ == "__main__":
    raise SystemExit(main())
