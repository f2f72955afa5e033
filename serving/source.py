"""Where the served model comes from: a folder, or a version in an MLflow registry."""

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import sentiment.store
from sentiment.explanation import Explainer
from sentiment.scorer import Scorer

_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


class SourceError(Exception):
    """The model cannot be had; the message says from where and why."""


@dataclass(frozen=True)
class LoadedModel:
    scorer: Scorer
    explainer: Explainer
    version: str


def load(uri: str, version: str | None = None) -> LoadedModel:
    """Load the model at ``uri``.

    A folder is what KServe's storage initializer leaves in /mnt/models; it does not know its
    version, so ``version`` names it, or else the first digits of its digest do.
    ``models:/NAME@ALIAS`` and ``models:/NAME/VERSION`` ask the MLflow registry.

    Raises:
        SourceError: there is no such model, or it is damaged.
    """
    try:
        if not uri.startswith("models:"):
            folder = Path(uri)
            return _from_folder(folder, version or sentiment.store.digest(folder)[:12])
        return _from_registry(uri)
    except OSError as error:
        raise SourceError(f"{uri}: {error.filename or ''} {error.strerror or error}") from error
    except ValueError as error:
        raise SourceError(f"{uri}: {error}") from error


def _from_folder(folder: Path, version: str) -> LoadedModel:
    model = sentiment.store.load(folder)
    return LoadedModel(Scorer(model), Explainer(model), version)


def _from_registry(uri: str) -> LoadedModel:
    parts = _REGISTERED.fullmatch(uri)
    if parts is None:
        raise SourceError(f"{uri}: not of the form models:/NAME@ALIAS or models:/NAME/VERSION")
    try:
        # not in the serving image, where the storage initializer brings the model
        import mlflow
        from mlflow.exceptions import MlflowException
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
        name, version = parts["name"], parts["version"]
        if version is None:
            version = str(
                mlflow.MlflowClient().get_model_version_by_alias(name, parts["alias"]).version
            )
        with tempfile.TemporaryDirectory() as scratch:
            exact = f"models:/{name}/{version}"
            folder = mlflow.artifacts.download_artifacts(exact, dst_path=scratch)
            return _from_folder(Path(folder), version)
    except MlflowException as error:
        raise SourceError(f"{uri}: {str(error).partition(chr(10))[0]}") from error
