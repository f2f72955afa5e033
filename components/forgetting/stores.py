"""Files that may hold texts: in a folder, or in a bucket on S3 with its replaced versions."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import boto3
import botocore.exceptions

from components.errors import UserError
from components.io.files import replacing
from components.reading.sources import bucket_and_key, s3_errors

STALE = 3600  # seconds after which an unfinished file of a killed process is no file in the making
PARTIAL = ".partial"  # the end of the name of an unfinished file


@dataclass(frozen=True)
class File:
    name: str  # beneath the address of the store
    modified: datetime


class Store(Protocol):
    """A folder or a prefix; ``address`` ends in a slash."""

    address: str

    def files(self) -> list[File]: ...
    def read(self, name: str) -> bytes: ...
    def write(self, name: str, content: bytes) -> None: ...
    def delete(self, name: str) -> None: ...
    def replaced(self) -> "Iterator[Replaced]": ...
    def unsearched(self) -> Iterator[tuple[str, str]]:
        """Yield names beneath the address whose texts are out of reach, each with the reason."""


class Replaced(Protocol):
    """A version of an object that another version has replaced, or an unfinished file."""

    @property
    def name(self) -> str: ...
    def read(self) -> bytes: ...
    def delete(self) -> None: ...


class Folder:
    """The files of a folder that match a pattern; a file is replaced whole, and keeps its time."""

    def __init__(self, path: Path, pattern: str = "**/*") -> None:
        self.address = f"{path}/"
        self._path = path
        self._pattern = pattern

    def files(self) -> list[File]:
        found = (path for path in self._path.glob(self._pattern) if path.is_file())
        return [
            File(self._name(path), _modified(path))
            for path in sorted(found)
            if not (path.name.startswith(".") and path.name.endswith(PARTIAL))
        ]

    def unsearched(self) -> Iterator[tuple[str, str]]:
        for path in sorted(self._path.glob(self._pattern)):
            if path.is_symlink() and path.is_dir():
                yield self._name(path), "a link to a folder, not searched: name that folder"
            elif path.is_file() and path.stat().st_nlink > 1:
                yield self._name(path), "has other names (hard links), which are not searched"
        for path in self._partials():
            if not _is_stale(path):
                yield self._name(path), "not searched: it is being written"

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        path = (self._path / name).resolve()  # the file, not a link to it, holds the text
        before = path.stat()
        with replacing(path) as partial:
            partial.write_bytes(content)
            os.utime(partial, ns=(before.st_atime_ns, before.st_mtime_ns))
            partial.chmod(before.st_mode)

    def delete(self, name: str) -> None:
        path = self._path / name
        if path.is_symlink():
            path.resolve().unlink()  # the file holds the text, not the link to it
        path.unlink()
        if path.parent != self._path and not any(path.parent.iterdir()):
            path.parent.rmdir()

    def replaced(self) -> "Iterator[Replaced]":
        for path in self._partials():
            if _is_stale(path):
                yield _Unfinished(self._name(path), path)

    def _partials(self) -> list[Path]:
        """Return the unfinished files, which are ``.NAME.partial``."""
        folder, slash, name = self._pattern.rpartition("/")
        found = self._path.glob(f"{folder}{slash}.{name}{PARTIAL}")
        return sorted(path for path in found if path.is_file())

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._path))


@dataclass(frozen=True)
class _Unfinished:
    name: str
    path: Path

    def read(self) -> bytes:
        return self.path.read_bytes()

    def delete(self) -> None:
        self.path.unlink()


class Prefix:
    """The objects of a bucket beneath a prefix."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/") + "/"
        self._bucket, self._prefix = bucket_and_key(self.address)
        with s3_errors(address):
            self._client = boto3.client("s3")

    def files(self) -> list[File]:
        with s3_errors(self.address):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            return [
                File(each["Key"].removeprefix(self._prefix), each["LastModified"])
                for page in pages
                for each in page.get("Contents", [])
                if not each["Key"].endswith("/")
            ]

    def read(self, name: str, **version: str) -> bytes:
        with s3_errors(f"{self.address}{name}"):
            found = self._client.get_object(Bucket=self._bucket, Key=self._key(name), **version)
            content: bytes = found["Body"].read()
        return content

    def write(self, name: str, content: bytes) -> None:
        with s3_errors(f"{self.address}{name}"):
            self._client.put_object(Bucket=self._bucket, Key=self._key(name), Body=content)

    def delete(self, name: str, **version: str) -> None:
        with s3_errors(f"{self.address}{name}"):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(name), **version)

    def replaced(self) -> "Iterator[Replaced]":
        """Yield the versions that are not the latest.

        Raises:
            UserError: the credentials may not list them, or the storage knows no versions.
        """
        with s3_errors(self.address):
            pages = self._client.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                for each in page.get("Versions", []):
                    if not each["IsLatest"]:
                        name = each["Key"].removeprefix(self._prefix)
                        yield _Version(name, self, each["VersionId"])

    def unsearched(self) -> Iterator[tuple[str, str]]:
        yield from ()

    def _key(self, name: str) -> str:
        return self._prefix + name


@dataclass(frozen=True)
class _Version:
    name: str
    store: Prefix
    id: str

    def read(self) -> bytes:
        return self.store.read(self.name, VersionId=self.id)

    def delete(self) -> None:
        self.store.delete(self.name, VersionId=self.id)


def open_store(address: str, flag: str) -> Store:
    """Return the store at ``address``, a folder or ``s3://bucket/prefix/``.

    Raises:
        UserError: the address is neither, or there is no such folder.
    """
    if address.startswith("s3://"):
        return Prefix(address)
    if "://" in address:
        raise UserError(f"{flag} {address}: not a folder or s3://bucket/prefix/")
    if not Path(address).is_dir():
        raise UserError(f"{flag} {address}: no such folder")
    return Folder(Path(address))


def _is_stale(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > STALE


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def read_object(address: str) -> bytes | None:
    """Return the content of ``s3://bucket/key``, None if there is no such object."""
    bucket, key = bucket_and_key(address)
    with s3_errors(address):
        try:
            content: bytes = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            return None
    return content


def write_object(address: str, content: bytes) -> None:
    bucket, key = bucket_and_key(address)
    with s3_errors(address):
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
