"""The MLflow registry: connection, aliases, and the record of every decision on the champion."""

import getpass
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import requests
import sqlalchemy.exc
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from pydantic import Field

from components.errors import UnavailableError, UserError
from components.io.files import replacing
from components.io.records import record

LOCAL_URI = "sqlite:///mlflow.db"
CHAMPION, CHALLENGER = "champion", "challenger"
NONE = "none"  # stands for no version
MOST_RUNS = 50_000  # of one search, MLflow's own bound; its default is 1,000
DENIED = ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED")  # MLflow's for 401, 403
CREDENTIALS = "the server refuses MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
# MLflow's codes for no response and for 5xx
UNAVAILABLE = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")


@contextmanager
def connected() -> Iterator[mlflow.MlflowClient]:
    """Yield a client of ``MLFLOW_TRACKING_URI``, or of a SQLite file in the working directory.

    Raises:
        UserError: the address or the credentials are wrong, or MLflow refuses the request.
        UnavailableError: the server does not respond, or responds with a server error.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or LOCAL_URI
    # MLflow's default is 7 retries with exponential pauses: four minutes without a message
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # MLflow would print the address of each run, with the password in it
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    try:
        create_database(uri)
        mlflow.set_tracking_uri(uri)
        yield mlflow.MlflowClient()
    except (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError) as error:
        kind = UnavailableError if _is_unavailable(error, uri) else UserError
        raise kind(_without_password(f"MLflow at {uri}: {_cause(error)}")) from error


@record
class Registered:
    """A registered version and the digests of its model, training data and test reviews."""

    name: str
    version: str
    model_digest: str
    data_digest: str
    test_digest: str


@record
class Decision:
    """A decision on the champion: promoted, refused, rolled_back or unchanged.

    ``by`` and ``at`` (ISO 8601, UTC) come from the record in the registry.
    """

    outcome: str
    before: str = Field(validation_alias="from", serialization_alias="from")
    after: str = Field(validation_alias="to", serialization_alias="to")
    why: str = Field()  # a Field, as those before it are
    figures: dict[str, float] | None = None
    by: str | None = None
    at: str | None = None


def alias_version(client: mlflow.MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """Return the version that ``alias`` points to, or None where there is no such alias."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        # a missing alias is INVALID_PARAMETER_VALUE, a missing model RESOURCE_DOES_NOT_EXIST
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def download(client: mlflow.MlflowClient, version: ModelVersion, directory: Path) -> Path:
    """Download the files of a version into ``directory`` and return the folder of its model."""
    uri = f"models:/{version.name}/{version.version}"
    return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(directory)))


def experiment_id(client: mlflow.MlflowClient, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    return experiment.experiment_id if experiment else client.create_experiment(name)


def decide(client: mlflow.MlflowClient, name: str, decision: Decision) -> str:
    """Record a decision, move the alias accordingly, and return the id of the record.

    The record is a run of the experiment ``NAME-promotions``, opened before the alias moves and
    closed afterwards. The run stays open if the process is killed in between; :func:`decisions`
    counts it if the alias did move to its ``to``.
    """
    tags = {
        "mlflow.runName": f"{decision.outcome} {decision.before} -> {decision.after}",
        "mlflow.user": user(),
        "model": name,
        "outcome": decision.outcome,
        "from": decision.before,
        "to": decision.after,
        "why": decision.why,
    }
    run = client.create_run(experiment_id(client, f"{name}-promotions"), tags=tags)
    for key, value in (decision.figures or {}).items():
        client.log_metric(run.info.run_id, key, value)
    if decision.outcome != "refused":
        client.set_registered_model_alias(name, CHAMPION, decision.after)
    client.set_terminated(run.info.run_id)
    return run.info.run_id


def decisions(client: mlflow.MlflowClient, name: str) -> list[Decision]:
    """Return the decisions, the newest first."""
    champion = alias_version(client, name, CHAMPION)
    experiment = client.get_experiment_by_name(f"{name}-promotions")
    if experiment is None:
        return []
    runs = client.search_runs(
        [experiment.experiment_id],
        max_results=MOST_RUNS,
        order_by=["attributes.start_time DESC"],
    )
    return [
        Decision(
            outcome=run.data.tags["outcome"],
            before=run.data.tags["from"],
            after=run.data.tags["to"],
            why=run.data.tags["why"],
            by=run.data.tags["mlflow.user"],
            at=datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(),
        )
        for run in runs
        if run.info.status == "FINISHED"
        or (champion is not None and run.data.tags["to"] == str(champion.version))
    ]


def moves(client: mlflow.MlflowClient, name: str) -> list[Decision]:
    """Return the decisions that moved the alias champion, the newest first."""
    return [decision for decision in decisions(client, name) if decision.outcome != "refused"]


def create_database(uri: str) -> None:
    """Create the database of a SQLite address, if there is none, in one step.

    MLflow cannot open a database again after it was killed while creating the tables.
    """
    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not path.exists():
        with replacing(path) as partial:
            partial.unlink(missing_ok=True)
            mlflow.MlflowClient(f"sqlite:///{partial}").search_experiments()


def user() -> str:
    """Return the name to record decisions under."""
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):  # a numeric user of a container has no name
        return f"uid {os.getuid()}"


def _without_password(message: str) -> str:
    """Return ``message`` without user and password in its addresses.

    A password may contain a slash or another @, so everything before the last @ is dropped.
    """
    return re.sub(r"//\S*@", "//", message)


def _is_unavailable(error: Exception, uri: str) -> bool:
    if isinstance(error, sqlalchemy.exc.OperationalError):  # of a file: a path, unless it is locked
        return not uri.startswith("sqlite:") or "locked" in str(error)
    if isinstance(error, MlflowException):
        # MLflow reports a malformed address with the code of a server error
        return error.error_code in UNAVAILABLE and "Invalid url" not in str(error)
    return isinstance(error, requests.ConnectionError | requests.Timeout)


def _cause(error: Exception) -> str:
    """Return the first line of the error; SQLAlchemy keeps the driver's message in ``orig``."""
    line = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return f"{CREDENTIALS}: {line}" if getattr(error, "error_code", None) in DENIED else line
