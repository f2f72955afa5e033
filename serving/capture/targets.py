"""Write captured predictions to a folder, or to a prefix on S3."""

from pathlib import Path
from urllib.parse import urlsplit

from serving.capture.writer import Target


class TargetError(Exception):
    """The target cannot be written to; the message names it and the reason."""


class Folder:
    """A folder on disk, in which a file is complete or absent."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, name: str, content: bytes) -> None:
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        try:
            partial.write_bytes(content)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise


class Bucket:
    """A prefix of an S3 bucket."""

    def __init__(self, bucket: str, prefix: str) -> None:
        import boto3  # takes half a second, so import it only for S3

        self._client = boto3.client("s3")  # honours AWS_ENDPOINT_URL
        self._bucket = bucket
        self._prefix = prefix

    def write(self, name: str, content: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content)


def open_target(address: str) -> Target:
    """Return the target at ``address``, a folder or ``s3://bucket/prefix/``.

    Raises:
        TargetError: the address is neither, or the folder cannot be made.
    """
    url = urlsplit(address)
    if url.scheme == "s3" and url.netloc:
        prefix = url.path.strip("/")
        return Bucket(url.netloc, f"{prefix}/" if prefix else "")
    if "://" in address:
        raise TargetError(f"{address}: not a folder or s3://bucket/prefix/")
    try:
        Path(address).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(f"{address}: {error.strerror}") from error
    return Folder(Path(address))
