"""What is to be deployed: a version of the registry whose files are those that were registered."""

import re
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from components.errors import UserError
from components.io import registry
from components.io.models import load_facts
from deploy.state import Model

_DIGEST = re.compile(r"[0-9a-f]{64}")
_STORES = ("gs", "s3")  # that a storage initializer reads, by an identity of the cluster


def find(client: mlflow.MlflowClient, name: str, alias: str, number: str | None) -> ModelVersion:
    """Return the version called ``number``, or else the one that the alias points to."""
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


def to_deploy(client: mlflow.MlflowClient, version: ModelVersion, local: bool) -> Model:
    """Return the version as a cluster takes it, once its files are seen to be the registered ones.

    Raises:
        UserError: its digest is missing or another, or it is where no cluster can fetch it.
    """
    called = f"{version.name} version {version.version}"
    expected = version.tags.get("model_digest", "")
    if not _DIGEST.fullmatch(expected):
        raise UserError(f"{called}: its tag model_digest is {expected!r}, not a SHA-256")
    uri = _storage(called, client.get_model_version_download_uri(version.name, version.version))
    if uri.startswith("file:") and not local:
        raise UserError(
            f"{called} is at {uri}, which is on this machine only; register it with a server whose"
            " artifacts are on S3, or deploy to the overlay local"
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = registry.download(client, version, Path(scratch))
        try:
            found = load_facts(folder)["model_digest"]
        except UserError as error:
            raise UserError(f"{called}: {error}") from error
    if found != expected:
        raise UserError(
            f"{called}: the model at {uri} is another than the one that was registered: its SHA-256"
            f" is {found}, the tag model_digest says {expected}"
        )
    return Model(str(version.version), uri)


def _storage(called: str, uri: str) -> str:
    """Return the address as one of a store: bucket and key, or a file of this machine."""
    scheme = urlsplit(uri).scheme
    if scheme in _STORES or scheme == "file":
        return uri
    if not scheme:
        return Path(uri).resolve().as_uri()
    raise UserError(
        f"{called} is at {uri}, which no storage initializer reads; the tracking server must let"
        " its clients write to S3 themselves (--no-serve-artifacts)"
    )
