"""Export what labels of captured predictions say of the accuracy of each version."""

from collections.abc import Iterator
from datetime import UTC, datetime

import mlflow
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from components.errors import UserError
from components.labelling import live
from components.labelling.live import Interval, LiveAccuracy
from monitoring.services import LABELS, WatchedService

NEWEST = 20  # versions: each has a dozen time series and more


def read_live(client: mlflow.MlflowClient, service: WatchedService) -> Iterator[Metric]:
    """Yield the newest estimate of each of the newest versions that have one.

    Raises:
        UserError: a run holds no such estimate, or ``until`` is no time.
    """
    accuracy = GaugeMetricFamily(
        "pipeline_live_accuracy",
        "Accuracy of a version while serving, by labels of its captured predictions",
        labels=[*LABELS, "version", "bound"],
    )
    of_class = GaugeMetricFamily(
        "pipeline_live_class_accuracy",
        "The same by predicted class (precision) and by the class of the label (recall)",
        labels=[*LABELS, "version", "class", "measure", "bound"],
    )
    labels = GaugeMetricFamily(
        "pipeline_live_labels", "Labels behind the accuracy", labels=[*LABELS, "version"]
    )
    until = GaugeMetricFamily(
        "pipeline_live_timestamp_seconds",
        "When the last of the labelled texts came",
        labels=[*LABELS, "version"],
    )
    for found in live.read(client, service.model)[:NEWEST]:
        version = (*service.labels, found.version)
        _add(accuracy, version, found.accuracy)
        labels.add_metric(version, found.accuracy.labels)
        until.add_metric(version, _seconds(service, found))
        for measure, by_class in (("precision", found.precision), ("recall", found.recall)):
            for name, interval in by_class.items():
                _add(of_class, (*version, name, measure), interval)
    yield from (accuracy, of_class, labels, until)


def _add(family: GaugeMetricFamily, labels: tuple[str, ...], interval: Interval) -> None:
    for bound, value in (
        ("estimate", interval.value),
        ("low", interval.low),
        ("high", interval.high),
    ):
        family.add_metric([*labels, bound], value)


def _seconds(service: WatchedService, found: LiveAccuracy) -> float:
    """Return ``until`` in seconds since 1970; a time without a zone is UTC."""
    try:
        read = datetime.fromisoformat(found.until)
    except ValueError as error:
        where = f"{service.model}-live, version {found.version}"
        raise UserError(f"{where}: until: {error}") from error
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
