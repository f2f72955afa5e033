"""Where files come from: this machine, S3, the web, and other storage that fsspec knows."""

import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.errors import UnavailableError, UserError
from components.reading import formats, storage
from components.reading.options import Options
from components.reading.passwords import is_database, shown


@dataclass(frozen=True)
class Origin:
    """A local file or folder and the address that it is a copy of, as it may be shown."""

    path: Path
    address: str


def fetch(options: Options, scratch: Path) -> Iterator[Origin]:
    """Yield the files of the source, or its folder, as local ones, in the order of their names.

    A remote file is streamed into ``scratch`` and replaced by the next one. A remote prefix that
    ends in a slash stands for the objects that hold data.

    Raises:
        UserError: there is no such source, or access is denied.
        UnavailableError: the storage or the web server does not respond.
    """
    source = options.source
    scheme, _, rest = source.partition("://")
    if rest and scheme == "s3":
        for address in objects(options) if source.endswith("/") else [source]:
            yield Origin(_from_s3(address, scratch / "download"), address)
    elif rest and scheme in ("http", "https"):
        yield Origin(_from_web(source, scratch / "download"), shown(source))
    elif storage.is_address(source):
        for address, path in storage.download(source, options, scratch / "download"):
            yield Origin(path, address)
    else:
        yield Origin(local(source), source)


def local(source: str) -> Path:
    """Return the path of a file or folder.

    Raises:
        UserError: there is none, or the address is of an unknown kind.
    """
    if is_database(source):
        raise UserError(f"{shown(source)}: a database; a file is wanted here")
    if "://" in source:
        raise UserError(
            f"{source}: unknown kind of source; use a file, s3://, https://, gs://, az:// or a"
            " database"
        )
    if not Path(source).exists():
        raise UserError(f"{source}: no such file or folder")
    return Path(source)


def name(source: str) -> str:
    """Return the name of a file, folder, object or database without its endings."""
    if is_database(source):
        from components.reading import databases

        return databases.name(source)
    if not source.startswith(("http://", "https://")):
        return Path(source).name.split(".")[0] or source
    try:
        url = urlsplit(source)
    except ValueError as error:
        raise UserError(f"{shown(source)}: not a valid address ({error})") from error
    return Path(url.path).name.split(".")[0] or url.netloc


def bucket_and_key(address: str) -> tuple[str, str]:
    """Split s3://bucket/key; unlike in a URL of the web, ? and # are part of a key."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bucket, key


def objects(options: Options) -> dict[str, str]:
    """Return the entity tags of the objects of a prefix that hold data, by address."""
    bucket, prefix = bucket_and_key(options.source)
    with s3_errors(options.source):
        listed = s3_client().get_paginator("list_objects_v2")
        pages = listed.paginate(Bucket=bucket, Prefix=prefix)
        tags = {each["Key"]: each["ETag"] for page in pages for each in page.get("Contents", [])}
    found = formats.data_under(prefix, tags, options)
    return {f"s3://{bucket}/{key}": tags[key] for key in found}


def _from_s3(source: str, target: Path) -> Path:
    bucket, key = bucket_and_key(source)
    with s3_errors(source):
        s3_client().download_file(bucket, key, str(target))
    return target


def s3_client() -> Any:
    """Return a client that honours AWS_ENDPOINT_URL; its import takes half a second."""
    import boto3

    return boto3.client("s3")


@contextmanager
def s3_errors(source: str) -> Iterator[None]:
    import botocore.exceptions

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
    with web(source) as response, target.open("wb") as file:
        shutil.copyfileobj(response, file)
        check_length(response, file.tell(), source)
    return target


def check_length(response: http.client.HTTPResponse, received: int, source: str) -> None:
    announced = response.headers.get("content-length")
    if announced and received != int(announced):
        raise UnavailableError(f"{shown(source)}: received {received} of {announced} bytes")


@contextmanager
def web(source: str) -> Iterator[http.client.HTTPResponse]:
    """Yield the response of a web server, whose body is not yet read."""
    try:
        with urllib.request.urlopen(source, timeout=60) as response:
            yield response
    except (http.client.InvalidURL, ValueError) as error:  # ValueError: also of non-ASCII
        raise UserError(f"{shown(source)}: not a valid address") from error
    except urllib.error.HTTPError as error:
        kind = UnavailableError if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR else UserError
        raise kind(f"{shown(source)}: {error}") from error
    except (urllib.error.URLError, TimeoutError, http.client.HTTPException) as error:
        raise UnavailableError(f"{shown(source)}: {error}") from error
