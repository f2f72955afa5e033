"""The accuracy of a served version, as labels of its captured predictions show it.

Each estimate is a run of the experiment ``NAME-live`` in MLflow, from which the exporter reads it.
"""

import json

import mlflow

from components.io import records, registry
from components.io.records import record

_ESTIMATE = "live.estimate"
_VERSION = "live.version"


@record
class Interval:
    """An estimated share and its 95% interval; ``labels`` are those it is estimated from."""

    value: float
    low: float
    high: float
    labels: int


@record
class LiveAccuracy:
    """What labels say of ``version`` on the texts captured from ``since`` to ``until``.

    ``captured`` is the number of these texts; times are ISO 8601, UTC. ``precision`` is the
    accuracy by predicted class, ``recall`` that by the class of the label; a class without a label
    is absent.
    """

    version: str
    since: str
    until: str
    captured: int
    accuracy: Interval
    precision: dict[str, Interval]
    recall: dict[str, Interval]


def write(client: mlflow.MlflowClient, name: str, found: LiveAccuracy) -> None:
    """Record an estimate; what is the newest one of its version already changes nothing."""
    if found in read(client, name):
        return
    tags = {
        "mlflow.runName": f"live accuracy of version {found.version}",
        "mlflow.user": registry.user(),
        "model": name,
        _VERSION: found.version,
        _ESTIMATE: json.dumps(records.plain(found)),
    }
    run = client.create_run(registry.experiment_id(client, f"{name}-live"), tags=tags)
    accuracy = found.accuracy
    for key, value in (
        ("accuracy", accuracy.value),
        ("accuracy_low", accuracy.low),
        ("accuracy_high", accuracy.high),
        ("labels", accuracy.labels),
    ):
        client.log_metric(run.info.run_id, key, value)
    client.set_terminated(run.info.run_id)


def read(client: mlflow.MlflowClient, name: str) -> list[LiveAccuracy]:
    """Return the newest estimate of each version, the newest first."""
    experiment = registry.experiment(client, f"{name}-live")
    if experiment is None:
        return []
    runs = client.search_runs(
        [experiment.experiment_id],
        "attributes.status = 'FINISHED'",
        max_results=registry.MOST_RUNS,
        order_by=["attributes.start_time DESC"],
    )
    found: dict[str, LiveAccuracy] = {}
    for run in runs:
        tags = run.data.tags
        if _ESTIMATE in tags and tags[_VERSION] not in found:
            where = f"{name}-live, run {run.info.run_id}"
            value = json.loads(tags[_ESTIMATE])
            found[tags[_VERSION]] = records.parse(value, LiveAccuracy, where)
    return [*found.values()]
