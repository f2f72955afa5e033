"""Close the runs of killed processes, which MLflow would show as running for ever."""

import logging

import mlflow
from mlflow.entities import Run

from components.io import owner, registry

log = logging.getLogger("registry")


def close_runs(client: mlflow.MlflowClient, name: str) -> None:
    """Close the runs of killed registrations of a model, and those of its trials."""
    experiment = registry.experiment(client, name)
    if experiment is None:
        return
    running = "attributes.status = 'RUNNING'"
    runs = client.search_runs([experiment.experiment_id], running, max_results=registry.MOST_RUNS)
    dead = [run for run in runs if _is_ours(run) and _is_dead(run)]
    for run in dead:
        client.set_terminated(run.info.run_id, "KILLED")
    if dead:
        log.warning("closed %d runs of a killed registration as KILLED", len(dead))


def close_records(client: mlflow.MlflowClient, name: str) -> None:
    """Close the records that killed processes left open: FINISHED if the alias did move."""
    champion = registry.alias_version(client, name, registry.CHAMPION)
    runs = registry.records(client, name)
    for index, run in enumerate(runs):
        if run.info.status == "RUNNING" and _is_dead(run):
            moved = registry.has_moved(run, runs[:index], champion)
            status = "FINISHED" if moved else "KILLED"
            client.set_terminated(run.info.run_id, status)
            log.warning("closed the record %s of a killed process as %s", run.info.run_name, status)


def _is_ours(run: Run) -> bool:
    """Tell whether register made the run: others in the experiment are the user's."""
    return owner.HOST in run.data.tags or "model_digest" in run.data.tags


def _is_dead(run: Run) -> bool:
    return owner.is_dead(run.data.tags, run.info.start_time / 1000)
