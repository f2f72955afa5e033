"""The record of deployments in the registry: runs of the experiment ``NAME-deployments``.

A record is opened before the first change, and closed when the deployment has ended.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import mlflow
from mlflow.entities import Metric, Run

from components.errors import UnavailableError, UserError
from components.io import addresses, failures, registry
from components.io.registry import NONE
from deploy.canary import CanaryOutcome, CanaryVerdict
from deploy.overlay import Predictor, State
from deploy.rollout import RolloutOutcome, RolloutResult

log = logging.getLogger("deploy")


@dataclass(frozen=True)
class Deployment:
    """One record; ``outcome`` is one of RolloutOutcome, started, or superseded."""

    at: str
    by: str
    overlay: str
    outcome: str
    before: str
    after: str
    reason: str

    def __str__(self) -> str:
        change = f"{self.before} -> {self.after}"
        return f"{self.at} {self.by}: {self.overlay} {self.outcome} {change}: {self.reason}"


def find_open(client: mlflow.MlflowClient, name: str, overlay: str, new: Predictor) -> str | None:
    """Return the id of the record that an interrupted deployment of ``new`` left open, if any.

    Open records of other predictors are closed, as this deployment supersedes them.
    """
    runs = client.search_runs(
        [_experiment(client, name)], f"attributes.status = 'RUNNING' and tags.overlay = '{overlay}'"
    )
    record = None
    for run in runs:
        if record is None and run.data.tags["to"] == new.name:
            record = str(run.info.run_id)
        else:
            _close(client, run.info.run_id, "superseded", f"{new.name} was deployed instead")
    return record


def find_unfit(client: mlflow.MlflowClient, record: str) -> str | None:
    """Return why the canary of an open record was found worse, or None if it was not."""
    for key, value in client.get_run(record).data.tags.items():
        if key.startswith("at_") and value.startswith(CanaryOutcome.WORSE.value):
            return f"{key.replace('_', ' ')}% the canary {value}"
    return None


@contextmanager
def optional(what: str) -> Iterator[None]:
    """Log what the record lacks when the registry fails: what is served must not depend on it."""
    try:
        with failures.explained(addresses.tracking_uri()):
            yield
    except (UserError, UnavailableError) as error:
        log.warning("the record of deployments lacks %s: %s", what, error)


def open_record(
    client: mlflow.MlflowClient, name: str, overlay: str, now: State | None, new: Predictor
) -> str:
    """Return the id of a new record."""
    before = now.stable.name if now else NONE
    tags = {
        "mlflow.runName": f"{overlay} {before} -> {new.name}",
        "mlflow.user": registry.user(),
        "model": name,
        "overlay": overlay,
        "from": before,
        "to": new.name,
        "version": new.version,
        "image": new.image,
        "outcome": "started",
    }
    return str(client.create_run(_experiment(client, name), tags=tags).info.run_id)


def log_verdict(
    client: mlflow.MlflowClient, record: str, percent: int, verdict: CanaryVerdict
) -> None:
    """Add the verdict on a step of the canary; its metrics have the percentage as their step."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    metrics = [Metric(key, value, now, percent) for key, value in verdict.figures.items()]
    client.log_batch(record, metrics)
    client.set_tag(record, f"at_{percent}", f"{verdict.outcome.value}: {verdict.reason}")


def close(client: mlflow.MlflowClient, record: str, result: RolloutResult) -> None:
    _close(client, record, result.outcome.value, result.reason)


def deployments(client: mlflow.MlflowClient, name: str) -> list[Deployment]:
    """Return the deployments, newest first."""
    runs = client.search_runs([_experiment(client, name)], max_results=registry.MOST_RUNS)
    return [_deployment(run) for run in runs]


def _close(client: mlflow.MlflowClient, record: str, outcome: str, reason: str) -> None:
    client.set_tag(record, "outcome", outcome)
    client.set_tag(record, "why", reason)
    deployed = outcome == RolloutOutcome.DEPLOYED.value
    client.set_terminated(record, "FINISHED" if deployed else "FAILED")


def _experiment(client: mlflow.MlflowClient, name: str) -> str:
    return registry.experiment_id(client, f"{name}-deployments")


def _deployment(run: Run) -> Deployment:
    tags = run.data.tags
    return Deployment(
        at=datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(),
        by=tags["mlflow.user"],
        overlay=tags["overlay"],
        outcome=tags["outcome"],
        before=tags["from"],
        after=tags["to"],
        reason=tags.get("why", "not ended"),
    )
