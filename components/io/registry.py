"""The MLflow registry: connection, versions, aliases, and the record of every decision."""

import getpass
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import sqlalchemy
from mlflow.entities import Experiment, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from pydantic import Field

from components.errors import UserError
from components.io import addresses, creation, failures, owner, relocation
from components.io.records import record

CHAMPION, CHALLENGER = "champion", "challenger"
SOURCES_TAG = "sources_digest"  # what the sources held when a run read them for this version
NONE = "none"  # stands for no version
MOST_RUNS = 50_000  # of one search, MLflow's own bound; its default is 1,000
# of an alias or a number that is not one, and of a model or version
MISSING = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")

_NO_METRIC = re.compile(r"[^\w/ .:-]")  # what MLflow refuses in the name of a metric


@contextmanager
def connected(create: bool = False) -> Iterator[mlflow.MlflowClient]:
    """Yield a client of ``MLFLOW_TRACKING_URI``, or of a SQLite file in the working directory.

    ``create`` makes the SQLite file if there is none.

    Raises:
        UserError: the address is wrong, there is no registry at it, or MLflow refuses a request.
        UnavailableError: the server does not respond, or responds with a server error.
    """
    uri = addresses.tracking_uri()
    # MLflow's default is 7 retries with exponential pauses: four minutes without a message
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # MLflow would print the address of each run, with the password in it
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    # it logs a traceback for each error of the database; the error at the end says it once
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with failures.explained(uri):
        if database := addresses.database(uri):
            if create:
                creation.create(database)
            elif not database.exists():  # MLflow would make an empty one
                raise UserError(
                    f"no registry at {database}; train first, or set {addresses.VARIABLE}"
                )
            relocation.relocate(database)
        elif not addresses.is_web(uri):
            # MLflow would try to connect for two minutes, with a traceback for each attempt
            with sqlalchemy.create_engine(uri).connect():
                pass
        mlflow.set_tracking_uri(uri)
        yield mlflow.MlflowClient()


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
        if error.error_code in MISSING:
            return None
        raise


def champion(client: mlflow.MlflowClient, name: str) -> ModelVersion | None:
    """Return the champion, or None if there never was any.

    Raises:
        UserError: there was a champion, and its alias or the version was deleted.
    """
    version = alias_version(client, name, CHAMPION)
    if version is not None or not (past := moves(client, name)):
        return version
    last, existing = past[0].after, versions(client, name)
    to = last if last in existing else "VERSION"
    lost = f"{name} has no champion: its alias was deleted, and pointed to version {last}"
    if last not in existing:
        lost = f"{name} has no champion: version {last} was deleted; {_listed(existing)}"
    of_name = "" if name == "sentiment" else f" --name {name}"
    restore = f"python -m components.promote --rollback --to {to} --why REASON{of_name}"
    raise UserError(f"{lost}; set it again: {restore}")


def find_version(client: mlflow.MlflowClient, name: str, number: str) -> ModelVersion:
    """Return a version by its number.

    Raises:
        UserError: there is no such version; the message names those that there are.
    """
    try:
        return client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        listed = _listed(versions(client, name))
        raise UserError(f"{name} has no version {number}; {listed}") from error


def versions(
    client: mlflow.MlflowClient, name: str, tags: Mapping[str, str] | None = None
) -> list[str]:
    """Return the numbers of the versions with these tags that are not deleted, in their order."""
    wanted = "".join(f" and tag.`{key}` = '{value}'" for key, value in (tags or {}).items())
    found = client.search_model_versions(f"name = '{name}'{wanted}", max_results=MOST_RUNS)
    return [str(number) for number in sorted(int(version.version) for version in found)]


def _listed(existing: list[str]) -> str:
    if not existing:
        return "the registry has no version of it"
    return f"the registry has {', '.join(existing)}, and what was deleted cannot be restored"


def set_alias(client: mlflow.MlflowClient, name: str, alias: str, version: str) -> None:
    try:
        client.set_registered_model_alias(name, alias, version)
    except MlflowException as error:
        # so MLflow reports that another process has set this alias at the same moment
        if error.error_code != "BAD_REQUEST":
            raise
        client.set_registered_model_alias(name, alias, version)


def download(client: mlflow.MlflowClient, version: ModelVersion, directory: Path) -> Path:
    """Download the files of a version into ``directory`` and return the folder of its model."""
    require_files(client, version)
    return Path(mlflow.artifacts.download_artifacts(_uri(version), dst_path=str(directory)))


def require_files(client: mlflow.MlflowClient, version: ModelVersion) -> None:
    """Check that the files of a version are there, if they should be on this machine.

    Raises:
        UserError: they are not; the message names the folder.
    """
    name, number = version.name, str(version.version)
    folder = relocation.local_path(client.get_model_version_download_uri(name, number))
    if folder is not None and not folder.is_dir():
        raise UserError(
            f"{name} version {number}: the registry has its files in {folder}, and there is no such"
            " folder; bring it back, or run register again, which makes a new version"
        )


def has_files(version: ModelVersion) -> bool:
    """Tell whether the files of a version are still where it was registered."""
    return bool(mlflow.artifacts.list_artifacts(_uri(version)))


def _uri(version: ModelVersion) -> str:
    return f"models:/{version.name}/{version.version}"


def experiment(client: mlflow.MlflowClient, name: str) -> Experiment | None:
    """Return an experiment, or None if there never was one of this name.

    Raises:
        UserError: it was deleted.
    """
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "deleted":
        raise UserError(
            f"the experiment {name} was deleted in MLflow; restore it:"
            f" mlflow experiments restore --experiment-id {found.experiment_id}"
        )
    return found


def experiment_id(client: mlflow.MlflowClient, name: str) -> str:
    """Return the id of an experiment, which is created if there is none."""
    if found := experiment(client, name):
        return str(found.experiment_id)
    try:
        database = addresses.database(client.tracking_uri)
        if database is None:
            return client.create_experiment(name)
        return str(creation.store(client.tracking_uri, database).create_experiment(name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return experiment_id(client, name)  # another process has created it in the meantime


def decide(client: mlflow.MlflowClient, name: str, decision: Decision) -> str:
    """Record a decision, move the alias accordingly, and return the id of the record.

    The record is a run of the experiment ``NAME-promotions``, opened before the alias moves and
    closed afterwards. The run stays open if the process is killed in between;
    the next start closes it (:mod:`components.io.killed`).
    """
    tags = owner.tags() | {
        "mlflow.runName": f"{decision.outcome} {decision.before} -> {decision.after}",
        "mlflow.user": user(),
        "model": name,
        "outcome": decision.outcome,
        "from": decision.before,
        "to": decision.after,
        "why": decision.why,
    }
    run = client.create_run(experiment_id(client, f"{name}-promotions"), tags=tags)
    try:
        for key, value in (decision.figures or {}).items():
            client.log_metric(run.info.run_id, _NO_METRIC.sub("_", key), value)
        if decision.outcome != "refused":
            set_alias(client, name, CHAMPION, decision.after)
    except BaseException:
        with suppress(Exception):  # the first error is the one to report
            moved = has_moved(run, [], alias_version(client, name, CHAMPION))
            client.set_terminated(run.info.run_id, "FINISHED" if moved else "FAILED")
        raise
    client.set_terminated(run.info.run_id)
    return run.info.run_id


def decisions(client: mlflow.MlflowClient, name: str) -> list[Decision]:
    """Return the decisions, the newest first."""
    champion, runs = alias_version(client, name, CHAMPION), records(client, name)
    return [
        Decision(
            outcome=run.data.tags["outcome"],
            before=run.data.tags["from"],
            after=run.data.tags["to"],
            why=run.data.tags["why"],
            by=run.data.tags["mlflow.user"],
            at=datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(),
        )
        for index, run in enumerate(runs)
        if run.info.status == "FINISHED"
        or (run.info.status == "RUNNING" and has_moved(run, runs[:index], champion))
    ]


def moves(client: mlflow.MlflowClient, name: str) -> list[Decision]:
    """Return the decisions that moved the alias champion, the newest first."""
    return [decision for decision in decisions(client, name) if decision.outcome != "refused"]


def records(client: mlflow.MlflowClient, name: str) -> list[Run]:
    """Return the records of decisions, open and failed ones too, the newest first."""
    found = experiment(client, f"{name}-promotions")
    if found is None:
        return []
    order = ["attributes.start_time DESC"]
    runs = client.search_runs([found.experiment_id], max_results=MOST_RUNS, order_by=order)
    return [run for run in runs if "outcome" in run.data.tags]


def has_moved(run: Run, newer: Sequence[Run], champion: ModelVersion | None) -> bool:
    """Tell whether the alias did move as an open record says; ``newer`` are the records since."""
    tags = run.data.tags
    if tags["outcome"] == "refused":
        return False
    for later in reversed(newer):
        if later.info.status == "FINISHED" and later.data.tags["outcome"] != "refused":
            return tags["to"] == later.data.tags["from"]
    return champion is not None and tags["to"] == str(champion.version)


def user() -> str:
    """Return the name to record decisions under."""
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):  # a numeric user of a container has no name
        return f"uid {os.getuid()}"
