"""Resolve and download model versions of the MLflow registry."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")

# user and password in an address; a password may contain a slash or another @
_CREDENTIALS = re.compile(r"//\S*@")
# MLflow's codes for 401 and 403, and for an alias or a version that does not exist
_DENIED = ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED")
_MISSING = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
_ADDRESSES = ("sqlite", "http", "https", "postgresql", "mysql", "mssql")
_RESTORE = "python -m components.promote --rollback --to VERSION --why REASON"


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
    name = parts["name"]
    with _connect(uri) as mlflow:
        client = mlflow.MlflowClient()
        try:
            if parts["version"]:
                return client.get_model_version(name, parts["version"])
            return client.get_model_version_by_alias(name, parts["alias"])
        except mlflow.MlflowException as error:
            if error.error_code not in _MISSING:
                raise
            found = sorted(int(v.version) for v in client.search_model_versions(f"name = '{name}'"))
            existing = ", ".join(map(str, found)) or "none"
            advice = f"; set it: {_RESTORE}" if found and parts["alias"] == "champion" else ""
            raise SourceError(
                f"{uri}: not in the registry, where {name} has the versions: {existing}{advice}"
            ) from error


def download(uri: str, version: Any, scratch: Path) -> Path:
    """Return the folder with the files of ``version``, which are downloaded into ``scratch``.

    Files on this machine stay where they are.
    """
    with _connect(uri) as mlflow:
        exact = f"models:/{version.name}/{version.version}"
        stored = mlflow.MlflowClient().get_model_version_download_uri(version.name, version.version)
        folder = _local_folder(stored)
        if folder is None:
            return Path(mlflow.artifacts.download_artifacts(exact, dst_path=str(scratch)))
        if not folder.is_dir():
            raise SourceError(
                f"{uri}: the registry has the files of version {version.version} in {folder}, and"
                " there is no such folder; bring it back, or register the model again"
            )
        return folder


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
    registry = _address()
    try:
        if registry.partition(":")[0].partition("+")[0] not in _ADDRESSES:
            raise ValueError("the address must be sqlite:///FILE or http://HOST:PORT")
        database = _database(registry)
        if database is not None and not database.is_file():  # MLflow would make an empty one
            raise SourceError(
                f"{uri}: no registry at {database}; train first, or set MLFLOW_TRACKING_URI"
            )
        mlflow.set_tracking_uri(registry)
        yield mlflow
    except SourceError:
        raise
    except Exception as error:  # from MLflow, its HTTP client or its database
        cause = _CREDENTIALS.sub("//", _cause(error))
        shown = re.sub("//.*@", "//", registry)  # a password may contain a blank here
        raise SourceError(f"{uri}: {cause} (MLFLOW_TRACKING_URI is {shown})") from error


def _address() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def _database(registry: str) -> Path | None:
    """Return the file of a SQLite registry, None for another registry."""
    if not registry.startswith("sqlite"):
        return None
    from sqlalchemy.engine import make_url  # beside MLflow, where it can read SQLite

    file = make_url(registry).database
    if not file:
        raise ValueError("the address names no file")
    return Path(file)


def _local_folder(stored: str) -> Path | None:
    """Return the folder of a version on this machine, None if its files are elsewhere.

    MLflow stores absolute paths. After the folder of a SQLite registry was moved or copied, the
    files are beside the database, and not where the registry says.
    """
    if not stored.startswith(("/", "file:")):
        return None
    folder = Path(unquote(urlsplit(stored).path if stored.startswith("file:") else stored))
    place = re.fullmatch(r".*/mlruns/(\d+/\w+/artifacts/.*)", str(folder), re.DOTALL)
    database = _database(_address())
    if place and database:
        for parent in database.resolve().parents:
            if (parent / "mlruns" / place[1]).is_dir():
                return parent / "mlruns" / place[1]
    return folder


def _cause(error: Exception) -> str:
    """Return in one line the operating system's reason, which MLflow wraps, or MLflow's own."""
    first: BaseException = error
    while (earlier := first.__cause__ or first.__context__) is not None:
        first = earlier
    if isinstance(first, OSError) and first is not error:
        return f"no response ({first.strerror or first})"
    line = str(error).strip().partition("\n")[0]
    if getattr(error, "error_code", None) in _DENIED:
        return f"MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD are refused: {line}"
    return line
