"""MLflow's errors in one line each, and whose they are to fix."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

import requests
import sqlalchemy.exc
import urllib3.exceptions
from mlflow.exceptions import MlflowException

from components.errors import UnavailableError, UserError
from components.io.addresses import VARIABLE, without_password

DENIED = ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED")  # MLflow's for 401, 403
CREDENTIALS = "the server refuses MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
# MLflow's codes for no response and for 5xx
UNAVAILABLE = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Raise an error of MLflow at ``uri`` as one of ours, without user and password.

    Raises:
        UserError: the address or the credentials are wrong, or MLflow refuses the request.
        UnavailableError: the server does not respond, or responds with a server error.
    """
    try:
        yield
    except (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError) as error:
        unavailable = _is_unavailable(error, uri)
        cause = (_network_cause(error) if unavailable else None) or _first_line(error)
        kind = UnavailableError if unavailable else UserError
        raise kind(without_password(f"MLflow at {uri}: {cause}")) from error


def _is_unavailable(error: Exception, uri: str) -> bool:
    if isinstance(error, sqlalchemy.exc.OperationalError):  # of a file: a path, unless it is locked
        return not uri.startswith("sqlite") or "locked" in str(error)
    if isinstance(error, MlflowException):
        # MLflow reports a malformed address with the code of a server error
        return error.error_code in UNAVAILABLE and "Invalid url" not in str(error)
    return isinstance(error, requests.ConnectionError | requests.Timeout)


def _network_cause(error: BaseException) -> str | None:
    """Return the reason of the operating system or of HTTP, which four exceptions wrap."""
    first = error
    while (earlier := first.__cause__ or first.__context__) is not None:
        first = earlier
    if not isinstance(first, OSError | HTTPException | urllib3.exceptions.HTTPError):
        return None
    return f"no response ({getattr(first, 'strerror', None) or first}); see {VARIABLE}"


def _first_line(error: Exception) -> str:
    # SQLAlchemy keeps the driver's message in orig
    line = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return f"{CREDENTIALS}: {line}" if getattr(error, "error_code", None) in DENIED else line
