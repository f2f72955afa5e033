"""The address of the MLflow registry, ``MLFLOW_TRACKING_URI``: each mistake in it is one line."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from components.errors import UserError

VARIABLE = "MLFLOW_TRACKING_URI"
LOCAL_URI = "sqlite:///mlflow.db"
_WEB = ("http", "https")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # those of MLflow


def tracking_uri() -> str:
    """Return ``MLFLOW_TRACKING_URI``, or the address of a SQLite file in the working directory.

    Raises:
        UserError: MLflow cannot use the address.
    """
    uri = os.environ.get(VARIABLE) or LOCAL_URI
    if fault := _fault(uri):
        # a password may hold a blank, a slash or another @
        shown = re.sub("//.*@", "//", uri, flags=re.DOTALL)
        raise UserError(f"MLflow at {shown}: {VARIABLE} {fault}")
    return uri


def database(uri: str) -> Path | None:
    """Return the file of a valid SQLite address, None for an address of another kind."""
    return Path(str(make_url(uri).database)) if uri.startswith("sqlite") else None


def is_web(uri: str) -> bool:
    return uri.partition(":")[0] in _WEB


def without_password(message: str) -> str:
    """Return ``message`` without user and password in its addresses."""
    return re.sub(r"//\S*@", "//", message)


def _fault(uri: str) -> str | None:
    """Return what is wrong with an address, without its parts: one may be of a password."""
    if uri != uri.strip():
        return "begins or ends with a blank or a line break"
    if is_web(uri):
        return _web_fault(uri)
    if uri.partition(":")[0].partition("+")[0] in _DATABASES:
        return _database_fault(uri)
    return "must be sqlite:///FILE, http://HOST:PORT, https://HOST or postgresql://…"


def _web_fault(uri: str) -> str | None:
    if re.search(r"\s", uri):
        return "has a blank in it; write %20 for a blank in a password"
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:  # of the host's brackets, or of a port that is no number
        return "is malformed; write %2F for a slash in a password, and [ ] around an IPv6 address"
    return None if host else "names no host"


def _database_fault(uri: str) -> str | None:
    try:
        url = make_url(uri)
        if url.get_backend_name() == "sqlite":
            if fault := _file_fault(url.database or ""):
                return fault
            url = url.set(database=":memory:")
            with sqlalchemy.create_engine(url).connect():  # checks what follows a question mark
                return None
        sqlalchemy.create_engine(url)  # imports the driver
    except ModuleNotFoundError as error:
        other = "; for psycopg2 write postgresql+psycopg2://" if error.name == "psycopg" else ""
        return f"needs the Python package {error.name}, which is not installed{other}"
    except (ArgumentError, DBAPIError, TypeError, ValueError):
        return "is malformed, has an unknown driver, or an argument that its driver refuses"
    return None


def _file_fault(name: str) -> str | None:
    if name in ("", ":memory:") or name.startswith("file:"):
        return "names no file; write sqlite:///FILE"
    if Path(name).is_dir():
        return "names a folder; write sqlite:///FILE"
    if not Path(name).parent.is_dir():
        return f"names a file in a folder that does not exist: {Path(name).parent}"
    return None
