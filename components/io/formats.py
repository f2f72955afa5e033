"""Files of rows in four formats, read in batches."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import UserError
from components.io.reviews import BATCH_ROWS

FORMATS = ("csv", "tsv", "jsonl", "parquet")
ENDINGS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
ENDINGS |= {".parquet": "parquet", ".pq": "parquet"}

GZIP = b"\x1f\x8b"  # the first bytes of such a file


def format_of(source: str) -> str:
    """Return the format that the ending of the name stands for."""
    if source.startswith("builtin"):
        return "csv"
    # only an address on the web has a query or a fragment behind its path
    path = urlsplit(source).path if source.startswith(("http://", "https://")) else source
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise UserError(
            f"{source}: cannot tell the format from {ending!r}; known endings are"
            f" {', '.join(ENDINGS)}, or say --format ({', '.join(FORMATS)})"
        )
    return ENDINGS[ending]


def read(path: Path, format: str | None, encoding: str, address: str) -> Iterator[pd.DataFrame]:
    """Yield the rows of ``path`` in their order, missing values as None or NaN.

    ``path`` is a local copy of ``address``. Errors name the address, and its ending tells the
    format if ``format`` is None. Only an empty cell is missing: "NA" and "None" are texts. Fields
    of nested JSON objects become columns such as ``data.text``.

    Raises:
        UserError: the file is empty, of another format or of another encoding.
    """
    format = format or format_of(address)
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{address}: the file is empty")
        with path.open("rb") as file:
            if file.read(2) == GZIP:
                raise UserError(f"{address}: compressed with gzip; unpack it first (gunzip)")
        if format == "parquet":
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):  # see reviews.batches
                    for batch in file.iter_batches(BATCH_ROWS, [group]):
                        yield batch.to_pandas()
        elif format == "jsonl":
            with path.open(encoding="utf-8-sig") as file:
                rows = (
                    _json_object(line, i, address) for i, line in enumerate(file, 1) if line.strip()
                )
                while batch := list(islice(rows, BATCH_ROWS)):
                    yield pd.json_normalize(batch)
        else:
            yield from pd.read_csv(
                path,
                sep="," if format == "csv" else "\t",
                chunksize=BATCH_ROWS,
                dtype=str,
                keep_default_na=False,
                na_values=[""],
                encoding=encoding,
                compression=None,
            )
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UserError(
            f"{address}: byte 0x{byte:02x} is not {error.encoding}; see --encoding"
        ) from error
    except LookupError as error:
        raise UserError(f"--encoding {encoding}: {error}") from error
    except pa.ArrowException as error:
        raise UserError(f"{address}: not a Parquet file ({error})") from error
    except ValueError as error:  # pandas's parser errors are of this kind
        raise UserError(f"{address}: not {format.upper()} ({error})") from error


def _json_object(line: str, number: int, address: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UserError(f"{address}: line {number}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise UserError(f"{address}: line {number}: not a JSON object")
    return value
