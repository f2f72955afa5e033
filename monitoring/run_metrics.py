"""What Kubeflow Pipelines says of its runs, as metrics."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import kfp
from kfp_server_api import V2beta1Run
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from pipelines.client import client_errors, connect

NEWEST = 100  # runs, in one answer


def read(host: str, namespace: str | None, token_file: Path | None) -> Iterator[Metric]:
    """Read the newest runs from a Kubeflow Pipelines server."""
    with client_errors(host):
        client = connect(host, namespace, token_file)
        names = _pipelines(client, namespace)
        runs = client.list_runs(
            page_size=NEWEST, sort_by="created_at desc", namespace=namespace
        ).runs
    states: Counter[tuple[str, str]] = Counter()
    ended: dict[tuple[str, str], float] = {}
    took: dict[str, float] = {}
    for run in runs or []:
        pipeline, state = _pipeline(run, names), str(run.state).lower()
        states[pipeline, state] += 1
        if run.finished_at is not None and run.finished_at.year > 1970:
            ended.setdefault((pipeline, state), run.finished_at.timestamp())
            took.setdefault(pipeline, (run.finished_at - run.created_at).total_seconds())
    labels = ["pipeline", "state"]
    counted = GaugeMetricFamily("pipeline_runs", "The newest runs", labels=labels)
    dated = GaugeMetricFamily(
        "pipeline_run_timestamp_seconds", "When the newest of them ended", labels=labels
    )
    timed = GaugeMetricFamily(
        "pipeline_run_duration_seconds", "Duration of the run that ended last", labels=labels[:1]
    )
    for key, count in states.items():
        counted.add_metric(key, count)
    for key, moment in ended.items():
        dated.add_metric(key, moment)
    for pipeline, seconds in took.items():
        timed.add_metric([pipeline], seconds)
    yield from (counted, dated, timed)


def _pipelines(client: kfp.Client, namespace: str | None) -> dict[str, str]:
    listed = client.list_pipelines(page_size=100, namespace=namespace).pipelines
    return {each.pipeline_id: each.display_name for each in listed or []}


def _pipeline(run: V2beta1Run, names: dict[str, str]) -> str:
    reference = run.pipeline_version_reference
    return names.get(reference.pipeline_id, "other") if reference else "other"
