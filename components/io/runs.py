"""What MLflow shows of a model: a run with its trials, files and pictures, and a version."""

import logging
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, Param

from components import candidates
from components.io import registry

LONGEST_DESCRIPTION = 5_000  # characters, MLflow's column; PostgreSQL refuses more

log = logging.getLogger("register")


def record(
    client: mlflow.MlflowClient,
    name: str,
    packed: Path,
    facts: dict[str, Any],
    trials: list[dict[str, Any]],
    metrics: dict[str, float],
    tags: dict[str, str],
    text: str,
    plots: Path,
) -> str:
    """Make a run of a model and its trials, and a version of it, whose number is returned."""
    experiment = registry.experiment_id(client, name)
    run = client.create_run(
        experiment, tags=tags | {"mlflow.runName": tags["model_digest"][:12]}
    ).info
    log.info("logging run %s", run.run_id)
    params = facts["parameters"] | {"train_rows": facts["rows"], "features": facts["features"]}
    valid = {key: facts["valid"][key] for key in ("accuracy", "log_loss")}
    measured = metrics | {f"valid_{key}": value for key, value in valid.items()}
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
            name, source, run.run_id, tags, description=_shown(text)
        ).version
    )


def _shown(card: str) -> str:
    """Return as many whole lines of the card as the registry's own database has room for."""
    if len(card) <= LONGEST_DESCRIPTION:
        return card
    rest = "\n… and more in `model_card.md` of the model"
    return card[: LONGEST_DESCRIPTION - len(rest)].rpartition("\n")[0] + rest


def _log_trial(
    client: mlflow.MlflowClient, experiment: str, parent: str, trial: dict[str, Any]
) -> None:
    """Log a trial of the search as a run nested in that of the model."""
    called = f"{candidates.name(trial['candidate'])} of {trial['budget']:.0%}"
    tags = {"mlflow.parentRunId": parent, "mlflow.runName": called}
    run = client.create_run(experiment, tags=tags).info
    params = trial["candidate"] | {key: trial[key] for key in ("budget", "iterations", "min_df")}
    values = {key: trial["valid"][key] for key in ("accuracy", "log_loss")}
    metrics = [Metric(f"valid_{key}", value, run.start_time, 0) for key, value in values.items()]
    for step, loss in enumerate(trial["valid"]["losses"], 1):
        metrics.append(Metric("valid_log_loss_by_iteration", loss, run.start_time, step))
    client.log_batch(run.run_id, metrics, [Param(key, str(value)) for key, value in params.items()])
    client.set_terminated(run.run_id)
