"""Collect the metrics that belong to the model served at the time of a scrape."""

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.model import window
from serving.model.loading import ServedModel


class ModelCollector(Collector):
    def __init__(self, served: ServedModel) -> None:
        self._served = served

    def collect(self) -> Iterator[Metric]:
        model = self._served.current
        identity = {"version": model.version, "digest": model.digest}
        yield InfoMetricFamily("model_version", "The model that is served", identity)
        if model.created is not None:
            yield GaugeMetricFamily(
                "model_created_timestamp_seconds",
                "Time of the registration of the model that is served",
                value=model.created,
            )
        stability = GaugeMetricFamily(
            "model_drift_psi",
            f"Population stability index of the last {window.SIZE} texts against the reference",
            labels=["statistic"],
        )
        for name, value in model.window.stability().items():
            stability.add_metric([name], value)
        yield stability
        expected = model.window.expected_accuracy()
        if expected is not None:
            yield GaugeMetricFamily(
                "model_expected_accuracy",
                f"Accuracy to expect on the last {window.SIZE} texts, by the model's confidence",
                value=expected,
            )
