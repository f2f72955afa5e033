"""The MLflow registry as the predictor sees it: which version is meant, and its files."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")

# and the user before it, in an address; it may hold a slash or another @
_PASSWORD = re.compile(r"//\S*@")
_DENIED = ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED")  # MLflow's for 401, 403


class SourceError(Exception):
    """The model cannot be had; the message says from where and why."""


def resolve(uri: str) -> Any:
    """Return the MLflow version that ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` means."""
    parts = _REGISTERED.fullmatch(uri)
    if parts is None:
        raise SourceError(f"{uri}: not of the form models:/NAME@ALIAS or models:/NAME/VERSION")
    with _connected(uri) as mlflow:
        client = mlflow.MlflowClient()
        if parts["version"]:
            return client.get_model_version(parts["name"], parts["version"])
        return client.get_model_version_by_alias(parts["name"], parts["alias"])


def download(uri: str, version: Any, scratch: Path) -> Path:
    """Bring the files of ``version`` into ``scratch`` and return their folder."""
    with _connected(uri) as mlflow:
        exact = f"models:/{version.name}/{version.version}"
        return Path(mlflow.artifacts.download_artifacts(exact, dst_path=str(scratch)))


@contextmanager
def _connected(uri: str) -> Iterator[Any]:
    """Yield MLflow, set to the registry of the environment; errors name ``uri``."""
    try:
        # not in the serving image, where the storage initializer brings the model
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
    except Exception as error:  # whatever MLflow, its HTTP client or its database come up with
        cause = str(error).strip().partition("\n")[0]
        if getattr(error, "error_code", None) in _DENIED:
            cause = f"MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD are refused: {cause}"
        raise SourceError(f"{uri}: {_PASSWORD.sub('//', cause)}") from error
