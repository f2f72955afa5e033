"""The MLflow registry: connection, aliases, and the record of every move of the champion."""

import getpass
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import requests
import sqlalchemy.exc
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from components.errors import UserError
from components.io.files import replacing

LOCAL_URI = "sqlite:///mlflow.db"
CHAMPION, CHALLENGER = "champion", "challenger"
NONE = "none"  # stands for no version in a record
MOST = 50_000  # runs that MLflow gives at once; it keeps back all after 1000 unless told
DENIED = ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED")  # MLflow's for 401, 403
CREDENTIALS = "it refuses MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"


@contextmanager
def connected() -> Iterator[mlflow.MlflowClient]:
    """Yield a client of ``MLFLOW_TRACKING_URI``, or of a SQLite file in the working directory.

    Raises:
        UserError: the server cannot be reached, refuses the credentials or answers an error.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or LOCAL_URI
    # the default of 7 with exponential pauses says nothing for four minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # it would print the address of each run with the password that is in the server's
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    try:
        create_database(uri)
        mlflow.set_tracking_uri(uri)
        yield mlflow.MlflowClient()
    except (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError) as error:
        raise UserError(_without_password(f"MLflow at {uri}: {_cause(error)}")) from error


@dataclass(frozen=True)
class Decision:
    """What was decided about the champion: promoted, refused or rolled_back, and the figures."""

    outcome: str
    before: str
    after: str
    why: str
    figures: dict[str, float] = field(default_factory=dict)


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
    """Bring the files of a version into ``directory`` and return where its model is."""
    uri = f"models:/{version.name}/{version.version}"
    return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(directory)))


def experiment_id(client: mlflow.MlflowClient, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    return experiment.experiment_id if experiment else client.create_experiment(name)


def decide(client: mlflow.MlflowClient, name: str, decision: Decision) -> str:
    """Record a decision about the champion, carry it out, and return the id of the record.

    The record is a run of the experiment ``NAME-promotions``, opened before the alias moves and
    closed after. Killed between the two, it stays open, and its ``to`` says whether the move was
    made: :func:`decisions` counts it then.
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
    for key, value in decision.figures.items():
        client.log_metric(run.info.run_id, key, value)
    if decision.outcome != "refused":
        client.set_registered_model_alias(name, CHAMPION, decision.after)
    client.set_terminated(run.info.run_id)
    return run.info.run_id


def decisions(client: mlflow.MlflowClient, name: str) -> list[dict[str, str]]:
    """Return the record, the newest first: outcome, from, to, why, by and at of each decision."""
    champion = alias_version(client, name, CHAMPION)
    runs = client.search_runs(
        [experiment_id(client, f"{name}-promotions")],
        max_results=MOST,
        order_by=["attributes.start_time DESC"],
    )
    return [
        {key: run.data.tags[key] for key in ("outcome", "from", "to", "why")}
        | {
            "by": run.data.tags["mlflow.user"],
            "at": datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(),
        }
        for run in runs
        if run.info.status == "FINISHED"
        or (champion is not None and run.data.tags["to"] == str(champion.version))
    ]


def moves(client: mlflow.MlflowClient, name: str) -> list[dict[str, str]]:
    """Return the decisions that moved the champion, the newest first."""
    return [each for each in decisions(client, name) if each["outcome"] != "refused"]


def create_database(uri: str) -> None:
    """Make the file of a SQLite address, where there is none, in one step.

    When MLflow is killed while it makes its tables, it can never open the file again.
    """
    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not path.exists():
        with replacing(path) as partial:
            partial.unlink(missing_ok=True)
            mlflow.MlflowClient(f"sqlite:///{partial}").search_experiments()


def user() -> str:
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):  # a numeric user of a container has no name
        return f"uid {os.getuid()}"


def _without_password(message: str) -> str:
    """Return ``message`` with user and password left out of its addresses.

    A password may hold a slash or another @, so all before the last one goes.
    """
    return re.sub(r"//\S*@", "//", message)


def _cause(error: Exception) -> str:
    """Return the first line of what went wrong; SQLAlchemy keeps the driver's own word in orig."""
    line = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return f"{CREDENTIALS}: {line}" if getattr(error, "error_code", None) in DENIED else line
