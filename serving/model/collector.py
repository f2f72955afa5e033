"""Collect the metrics that belong to the model served at the time of a scrape."""

import logging
from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.model import window
from serving.model.loading import LoadedModel, ServedModel

log = logging.getLogger(__name__)


class ModelCollector(Collector):
    """Yields the families of metrics that can be computed; the others are logged once a model."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served
        self._failed: set[tuple[str, str]] = set()  # family, digest of the model

    def collect(self) -> Iterator[Metric]:
        model = self._served.current
        for family in (_identity, _created, _stability, _expected_accuracy):
            try:
                metric = family(model)
            except Exception:  # without it the scrape still has all other metrics
                if (failed := (family.__name__, model.digest)) not in self._failed:
                    self._failed.add(failed)
                    log.exception("version %s: a metric cannot be computed", model.version)
                continue
            if metric is not None:
                yield metric


def _identity(model: LoadedModel) -> Metric:
    identity = {"version": model.version, "digest": model.digest}
    return InfoMetricFamily("model_version", "The model that is served", identity)


def _created(model: LoadedModel) -> Metric | None:
    if model.created is None:
        return None
    return GaugeMetricFamily(
        "model_created_timestamp_seconds",
        "Time of the registration of the model that is served",
        value=model.created,
    )


def _stability(model: LoadedModel) -> Metric:
    stability = GaugeMetricFamily(
        "model_drift_psi",
        f"Population stability index of the last {window.SIZE} texts against the reference",
        labels=["statistic"],
    )
    for name, value in model.window.stability().items():
        stability.add_metric([name], value)
    return stability


def _expected_accuracy(model: LoadedModel) -> Metric | None:
    expected = model.window.expected_accuracy()
    if expected is None:
        return None
    return GaugeMetricFamily(
        "model_expected_accuracy",
        f"Accuracy to expect on the last {window.SIZE} texts, by the model's confidence",
        value=expected,
    )
