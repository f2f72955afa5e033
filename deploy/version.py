"""Find the version to deploy, and check that its files are those that were registered."""

import re
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from components.errors import UserError
from components.io import registry
from components.io.models import verified_digest

_DIGEST = re.compile(r"[0-9a-f]{64}")
_STORES = ("gs", "s3")  # a storage initializer reads them by an identity of the cluster


def find_version(
    client: mlflow.MlflowClient, name: str, alias: str, number: str | None
) -> ModelVersion:
    """Return the version called ``number``, or without it the version of the alias."""
    if number is None:
        version = registry.alias_version(client, name, alias)
        if version is None:
            raise UserError(f"--alias {alias}: {name} has no such alias in the registry")
        return version
    try:
        return client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise UserError(f"--version {number}: {name} has no such version") from error
        raise


def verified_uri(client: mlflow.MlflowClient, version: ModelVersion, local: bool) -> str:
    """Return the address of a version's files, which are downloaded and checked.

    ``local`` permits files on this machine.

    Raises:
        UserError: the digest is missing or differs, or no cluster can fetch the files.
    """
    label = f"{version.name} version {version.version}"
    expected = version.tags.get("model_digest", "")
    if not _DIGEST.fullmatch(expected):
        raise UserError(f"{label}: its tag model_digest is {expected!r}, not a SHA-256")
    uri = _storage_uri(label, client.get_model_version_download_uri(version.name, version.version))
    if uri.startswith("file:") and not local:
        raise UserError(
            f"{label} is at {uri}, which is on this machine only; register it with a server whose"
            " artifacts are on S3, or deploy to the overlay local"
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = registry.download(client, version, Path(scratch))
        try:
            digest = verified_digest(folder)
        except UserError as error:
            raise UserError(f"{label}: {error}") from error
    if digest != expected:
        raise UserError(
            f"{label}: the model at {uri} is not the registered one: its SHA-256 is {digest},"
            f" the tag model_digest says {expected}"
        )
    return uri


def _storage_uri(label: str, uri: str) -> str:
    """Return the URI of a store (bucket and key) or of a file on this machine."""
    scheme = urlsplit(uri).scheme
    if scheme in _STORES or scheme == "file":
        return uri
    if not scheme:
        return Path(uri).resolve().as_uri()
    raise UserError(
        f"{label} is at {uri}, which no storage initializer reads; the tracking server must let"
        " its clients write to S3 themselves (--no-serve-artifacts)"
    )
