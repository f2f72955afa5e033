"""Files under an address: a folder on this machine, or a prefix of an S3 bucket."""

from pathlib import Path

import boto3

from components.errors import UserError, describe
from components.io.files import replacing
from components.reading.sources import bucket_and_key, s3_errors

_S3 = "s3://"


def names(address: str) -> list[str]:
    """Return the names of all complete files beneath the address, in order; [] if there are none.

    Raises:
        UserError: the address is of another kind, or access is denied.
        UnavailableError: S3 does not respond.
    """
    if address.startswith(_S3):
        bucket, prefix = _prefix(address)
        with s3_errors(address):
            pages = boto3.client("s3").get_paginator("list_objects_v2")
            found = [
                each["Key"].removeprefix(prefix)
                for page in pages.paginate(Bucket=bucket, Prefix=prefix)
                for each in page.get("Contents", [])
            ]
    else:
        folder = _folder(address)
        found = [str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()]
    return sorted(name for name in found if not _is_hidden(name))


def read(address: str, name: str) -> bytes:
    """Return the content of a file.

    Raises:
        UserError: there is no such file, or access is denied.
        UnavailableError: S3 does not respond.
    """
    if address.startswith(_S3):
        bucket, prefix = _prefix(address)
        with s3_errors(f"{address.rstrip('/')}/{name}"):
            content: bytes = (
                boto3.client("s3").get_object(Bucket=bucket, Key=prefix + name)["Body"].read()
            )
            return content
    path = _folder(address) / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(describe(error, path)) from error


def write(address: str, name: str, content: bytes) -> None:
    """Write a file, which is complete or absent.

    Raises:
        UserError: the address is of another kind, or access is denied.
        UnavailableError: S3 does not respond.
    """
    if address.startswith(_S3):
        bucket, prefix = _prefix(address)
        with s3_errors(f"{address.rstrip('/')}/{name}"):
            boto3.client("s3").put_object(Bucket=bucket, Key=prefix + name, Body=content)
        return
    with replacing(_folder(address) / name) as partial:
        partial.write_bytes(content)


def _prefix(address: str) -> tuple[str, str]:
    bucket, key = bucket_and_key(address)
    key = key.strip("/")
    return bucket, f"{key}/" if key else ""


def _folder(address: str) -> Path:
    if "://" in address:
        raise UserError(f"{address}: not a folder or s3://bucket/prefix/")
    return Path(address)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in Path(name).parts)  # such as a file half written
