"""The MLflow run of a model, with its trials, files and plots, and its registered version."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param, RunInfo
from mlflow.exceptions import MlflowException

from components.io import owner, records, registry
from components.io.accounts import FileAccount, RowAccount
from components.io.candidates import Trial
from components.io.models import TrainingFacts

ROWS_FILE = "rows_by_file.json"
LONGEST_DESCRIPTION = 5_000  # characters, MLflow's column; PostgreSQL refuses more

log = logging.getLogger("register")


def record(
    client: mlflow.MlflowClient,
    name: str,
    packed: Path,
    facts: TrainingFacts,
    trials: list[Trial],
    metrics: dict[str, float],
    tags: dict[str, str],
    card: str,
    plots: Path,
    account: RowAccount | None,
) -> str:
    """Log a model and its trials as runs, register a version and return its number.

    The account of rows becomes metrics, and a table by file among the artifacts.
    """
    experiment = registry.experiment_id(client, name)
    named = tags | {"mlflow.runName": tags["model_digest"][:12]}
    with _opened(client, experiment, named) as run:
        log.info("logging run %s", run.run_id)
        params = facts.parameters | {"train_rows": facts.rows, "features": facts.features}
        measured = metrics | {
            "valid_accuracy": facts.valid.accuracy,
            "valid_log_loss": facts.valid.log_loss,
        }
        if account and account.files:
            measured["rows_read"] = sum(each.read for each in account.files)
            measured["rows_kept"] = sum(each.kept for each in account.files)
            client.log_table(run.run_id, _by_file(account.files), ROWS_FILE)
        client.log_batch(
            run.run_id,
            metrics=[Metric(key, value, run.start_time, 0) for key, value in measured.items()],
            params=[Param(key, str(value)) for key, value in params.items()],
        )
        for trial in trials:
            _log_trial(client, experiment, run.run_id, trial)
        client.log_artifacts(run.run_id, str(packed), "model")
        client.log_artifacts(run.run_id, str(plots), "plots")
        _create_model(client, name)
        source, description = f"{run.artifact_uri}/model", shortened(card)
        version = client.create_model_version(
            name, source, run.run_id, tags, description=description
        ).version
    return str(version)


def _by_file(files: list[FileAccount]) -> dict[str, list[object]]:
    """Return the account as the columns of a table."""
    return {
        "file": [each.file for each in files],
        "read": [each.read for each in files],
        "kept": [each.kept for each in files],
        "dropped": [
            ", ".join(f"{count} ({why})" for why, count in each.dropped.items()) for each in files
        ],
    }


def remove(client: mlflow.MlflowClient, name: str, version: str) -> None:
    """Delete a version with its run and those of its trials."""
    run = client.get_run(str(client.get_model_version(name, version).run_id)).info
    client.delete_model_version(name, version)
    nested = client.search_runs([run.experiment_id], f"tags.`mlflow.parentRunId` = '{run.run_id}'")
    for run_id in (*(each.info.run_id for each in nested), run.run_id):
        client.delete_run(run_id)


def _create_model(client: mlflow.MlflowClient, name: str) -> None:
    if client.search_registered_models(f"name = '{name}'"):
        return
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


@contextmanager
def _opened(
    client: mlflow.MlflowClient, experiment: str, tags: dict[str, str]
) -> Iterator[RunInfo]:
    """Yield a run that is closed at the end: as FAILED after an error."""
    run = client.create_run(experiment, tags=tags | owner.tags()).info
    try:
        yield run
    except BaseException:
        with suppress(Exception):  # the first error is the one to report
            client.set_terminated(run.run_id, "FAILED")
        raise
    client.set_terminated(run.run_id)


def shortened(card: str, reserved: int = 0) -> str:
    """Return as many whole lines of the card as fit into MLflow's description.

    ``reserved`` characters of it are left free.
    """
    longest = LONGEST_DESCRIPTION - reserved
    if len(card) <= longest:
        return card
    end = "\n… and more in `model_card.md` of the model"
    return card[: longest - len(end)].rpartition("\n")[0] + end


def _log_trial(client: mlflow.MlflowClient, experiment: str, parent: str, trial: Trial) -> None:
    """Log a trial as a run nested in the run of the model."""
    name = f"{trial.candidate.name} of {trial.budget:.0%}"
    params = records.plain(trial.candidate) | {
        "budget": trial.budget,
        "iterations": trial.iterations,
        "min_df": trial.min_df,
    }
    values = {"valid_accuracy": trial.valid.accuracy, "valid_log_loss": trial.valid.log_loss}
    tags = {"mlflow.parentRunId": parent, "mlflow.runName": name}
    with _opened(client, experiment, tags) as run:
        metrics = [Metric(key, value, run.start_time, 0) for key, value in values.items()]
        for step, loss in enumerate(trial.valid.losses, 1):
            metrics.append(Metric("valid_log_loss_by_iteration", loss, run.start_time, step))
        client.log_batch(
            run.run_id, metrics, [Param(key, str(value)) for key, value in params.items()]
        )
