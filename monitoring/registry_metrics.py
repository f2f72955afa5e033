"""What MLflow's registry says of a model, as metrics: versions, decisions and deployments."""

from collections import Counter
from collections.abc import Iterable, Iterator

import mlflow
from mlflow.entities import Run
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from components.io import registry

NEWEST = 50  # moves, a time series each
DECISIONS = ("promoted", "refused", "rolled_back")


def read(name: str) -> Iterator[Metric]:
    """Read versions, aliases, and decisions and deployments of a model from MLflow."""
    with registry.connected() as client:
        versions = client.search_model_versions(f"name = '{name}'", max_results=registry.MOST_RUNS)
        yield GaugeMetricFamily("pipeline_version_count", "Versions registered", len(versions))
        yield from _of_aliases(client, name)
        decisions = _runs(client, f"{name}-promotions")
        yield from _told("decision", decisions, ["outcome"], [(each,) for each in DECISIONS])
        deployments = _runs(client, f"{name}-deployments")
        yield from _told("deployment", deployments, ["overlay", "outcome"], [])


def _of_aliases(client: mlflow.MlflowClient, name: str) -> Iterator[Metric]:
    registered = GaugeMetricFamily(
        "pipeline_registered_timestamp_seconds",
        "When the version that an alias points to was registered",
        labels=["alias", "version"],
    )
    measured = GaugeMetricFamily(
        "pipeline_model_measure",
        "What was measured of the version that an alias points to",
        labels=["alias", "version", "measure"],
    )
    for alias in (registry.CHAMPION, registry.CHALLENGER):
        version = registry.alias_version(client, name, alias)
        if version is None:
            continue
        number = str(version.version)
        registered.add_metric([alias, number], version.creation_timestamp / 1000)
        for measure, value in client.get_run(str(version.run_id)).data.metrics.items():
            measured.add_metric([alias, number, measure], value)
    yield from (registered, measured)


def _runs(client: mlflow.MlflowClient, experiment: str) -> list[Run]:
    """Return the ended runs of an experiment, the newest first; none where there is none."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    return client.search_runs(
        [found.experiment_id],
        "attributes.status != 'RUNNING'",
        max_results=registry.MOST_RUNS,
        order_by=["attributes.start_time DESC"],
    )


def _told(
    what: str, runs: Iterable[Run], labels: list[str], expected: list[tuple[str, ...]]
) -> Iterator[Metric]:
    """Count records of moves by ``labels``, those ``expected`` at least, and say when they were."""
    counts: Counter[tuple[str, ...]] = Counter(dict.fromkeys(expected, 0))
    moments: dict[tuple[str, ...], float] = {}
    for run in runs:
        tags = run.data.tags
        if not {*labels, "from", "to"} <= tags.keys():
            continue  # not one of ours
        key = tuple(tags[label] for label in labels)
        counts[key] += 1
        if len(moments) < NEWEST:
            moments.setdefault((*key, tags["from"], tags["to"]), run.info.start_time / 1000)
    counted = CounterMetricFamily(f"pipeline_{what}_count", f"Each {what} in MLflow", labels=labels)
    for key, count in counts.items():
        counted.add_metric(key, count)
    dated = GaugeMetricFamily(
        f"pipeline_{what}_timestamp_seconds",
        f"When a {what} last moved the model from one version to another",
        labels=[*labels, "before", "after"],
    )
    for key, moment in moments.items():
        dated.add_metric(key, moment)
    yield from (counted, dated)
