"""Resolve and download model versions of the MLflow registry."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")

# user and password in an address; a password may contain a slash or another @
_CREDENTIALS = re.compile(r"//\S*@")
# MLflow's codes for 401 and 403
_DENIED = ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED")


class SourceError(Exception):
    """The model cannot be loaded; the message names the source and the reason."""


def resolve(uri: str) -> Any:
    """Return MLflow's record of the version ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.

    Raises:
        SourceError: the URI has another form, or the registry cannot find the version.
    """
    parts = _REGISTERED.fullmatch(uri)
    if parts is None:
        raise SourceError(f"{uri}: not of the form models:/NAME@ALIAS or models:/NAME/VERSION")
    with _connect(uri) as mlflow:
        client = mlflow.MlflowClient()
        if parts["version"]:
            return client.get_model_version(parts["name"], parts["version"])
        return client.get_model_version_by_alias(parts["name"], parts["alias"])


def download(uri: str, version: Any, scratch: Path) -> Path:
    """Download the files of ``version`` into ``scratch`` and return their folder."""
    with _connect(uri) as mlflow:
        exact = f"models:/{version.name}/{version.version}"
        return Path(mlflow.artifacts.download_artifacts(exact, dst_path=str(scratch)))


@contextmanager
def _connect(uri: str) -> Iterator[Any]:
    """Yield MLflow with the registry that the environment names; errors start with ``uri``."""
    try:
        # absent from the serving image: the storage initializer downloads the model there
        import mlflow
    except ImportError:
        raise SourceError(f"{uri}: mlflow is not installed; name a folder instead") from None
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    registry = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    database = registry.removeprefix("sqlite:///")
    if database != registry and not Path(database).exists():  # MLflow would make an empty one
        raise SourceError(
            f"{uri}: no registry at {database}; train first, or set MLFLOW_TRACKING_URI"
        )
    mlflow.set_tracking_uri(registry)
    try:
        yield mlflow
    except Exception as error:  # from MLflow, its HTTP client or its database
        cause = str(error).strip().partition("\n")[0]
        if getattr(error, "error_code", None) in _DENIED:
            cause = f"MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD are refused: {cause}"
        raise SourceError(f"{uri}: {_CREDENTIALS.sub('//', cause)}") from error
