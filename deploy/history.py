"""The record of deployments in the registry: what was tried where, and how it ended."""

from datetime import UTC, datetime

import mlflow
from mlflow.entities import Metric, Run

from components.io import registry
from components.io.registry import NONE
from deploy.canary import Verdict
from deploy.state import State


def resumed(client: mlflow.MlflowClient, name: str, overlay: str, to: str) -> str | None:
    """Return the id of the record that a killed deployment of this version has left open, if any.

    Those of other versions are closed: this one takes their place.
    """
    open_ones = client.search_runs(
        [_experiment(client, name)], f"attributes.status = 'RUNNING' and tags.overlay = '{overlay}'"
    )
    mine = None
    for run in open_ones:
        if mine is None and run.data.tags["to"] == to:
            mine = str(run.info.run_id)
        else:
            close(client, run.info.run_id, "superseded", f"version {to} was deployed instead")
    return mine


def opened(client: mlflow.MlflowClient, name: str, overlay: str, now: State | None, to: str) -> str:
    """Return the id of a new record, which stays open until the deployment has ended."""
    before = now.stable.version if now else NONE
    tags = {
        "mlflow.runName": f"{overlay} {before} -> {to}",
        "mlflow.user": registry.user(),
        "model": name,
        "overlay": overlay,
        "from": before,
        "to": to,
        "outcome": "started",
    }
    return str(client.create_run(_experiment(client, name), tags=tags).info.run_id)


def judged(client: mlflow.MlflowClient, record: str, percent: int, verdict: Verdict) -> None:
    """Record what a step of the canary showed; the metrics have the percentage as their step."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    metrics = [Metric(key, value, now, percent) for key, value in verdict.figures.items()]
    client.log_batch(record, metrics)
    client.set_tag(record, f"at_{percent}", f"{verdict.outcome.value}: {verdict.why}")


def close(client: mlflow.MlflowClient, record: str, outcome: str, why: str) -> None:
    client.set_tag(record, "outcome", outcome)
    client.set_tag(record, "why", why)
    client.set_terminated(record, "FINISHED" if outcome == "deployed" else "FAILED")


def history(client: mlflow.MlflowClient, name: str) -> list[dict[str, str]]:
    """Return the deployments, the newest first."""
    runs = client.search_runs([_experiment(client, name)], max_results=registry.MOST)
    return [_told(run) for run in runs]


def _experiment(client: mlflow.MlflowClient, name: str) -> str:
    return registry.experiment_id(client, f"{name}-deployments")


def _told(run: Run) -> dict[str, str]:
    tags = run.data.tags
    at = datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat()
    kept = {key: tags[key] for key in ("overlay", "from", "to", "outcome")}
    return kept | {"why": tags.get("why", "not ended"), "by": tags["mlflow.user"], "at": at}
