"""The MLflow run of a model, with its trials, files and plots, and its registered version."""

import logging
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param

from components.io import records, registry
from components.io.candidates import Trial
from components.io.models import TrainingFacts

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
) -> str:
    """Log a model and its trials as runs, register a version and return its number."""
    experiment = registry.experiment_id(client, name)
    run = client.create_run(
        experiment, tags=tags | {"mlflow.runName": tags["model_digest"][:12]}
    ).info
    log.info("logging run %s", run.run_id)
    params = facts.parameters | {"train_rows": facts.rows, "features": facts.features}
    measured = metrics | {
        "valid_accuracy": facts.valid.accuracy,
        "valid_log_loss": facts.valid.log_loss,
    }
    client.log_batch(
        run.run_id,
        metrics=[Metric(key, value, run.start_time, 0) for key, value in measured.items()],
        params=[Param(key, str(value)) for key, value in params.items()],
    )
    for trial in trials:
        _log_trial(client, experiment, run.run_id, trial)
    client.log_artifacts(run.run_id, str(packed), "model")
    client.log_artifacts(run.run_id, str(plots), "plots")
    client.set_terminated(run.run_id)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    source = f"{run.artifact_uri}/model"
    return str(
        client.create_model_version(
            name, source, run.run_id, tags, description=_shortened(card)
        ).version
    )


def _shortened(card: str) -> str:
    """Return as many whole lines of the card as fit into MLflow's description."""
    if len(card) <= LONGEST_DESCRIPTION:
        return card
    end = "\n… and more in `model_card.md` of the model"
    return card[: LONGEST_DESCRIPTION - len(end)].rpartition("\n")[0] + end


def _log_trial(client: mlflow.MlflowClient, experiment: str, parent: str, trial: Trial) -> None:
    """Log a trial as a run nested in the run of the model."""
    name = f"{trial.candidate.name} of {trial.budget:.0%}"
    tags = {"mlflow.parentRunId": parent, "mlflow.runName": name}
    run = client.create_run(experiment, tags=tags).info
    params = records.plain(trial.candidate) | {
        "budget": trial.budget,
        "iterations": trial.iterations,
        "min_df": trial.min_df,
    }
    values = {"valid_accuracy": trial.valid.accuracy, "valid_log_loss": trial.valid.log_loss}
    metrics = [Metric(key, value, run.start_time, 0) for key, value in values.items()]
    for step, loss in enumerate(trial.valid.losses, 1):
        metrics.append(Metric("valid_log_loss_by_iteration", loss, run.start_time, step))
    client.log_batch(run.run_id, metrics, [Param(key, str(value)) for key, value in params.items()])
    client.set_terminated(run.run_id)
