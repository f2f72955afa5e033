"""What the model was asked and what it said, as metrics, and how far both have drifted."""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from sentiment import drift
from sentiment.model import LABELS
from sentiment.scorer import Scored

if TYPE_CHECKING:
    from serving.predictor import SentimentPredictor

WINDOW = 2_000  # texts, the newest, that are compared with the reference
FEWEST = 200  # the index of fewer is large by chance alone

# prometheus_client adds _total to the name of a counter's samples
PREDICTIONS = Counter("model_prediction_count", "Predictions by class", ["prediction"])
_OF_LABEL = [PREDICTIONS.labels(label) for label in LABELS]  # one never seen is 0, not absent
SCORE = Histogram(
    "model_score", "Probability of positive", buckets=[tenth / 10 for tenth in range(1, 11)]
)
TOKENS = Histogram(
    "model_review_tokens", "Tokens in a review", buckets=(10, 25, 50, 100, 200, 400, 800, 1600)
)
UNKNOWN = Counter("model_unknown_token_count", "Tokens that the model has no column for")


class Observed:
    """The last texts that one model has scored, and the reference that it came with, if any."""

    def __init__(self, reference: dict[str, Any] | None) -> None:
        self._reference = reference
        self._window: deque[tuple[float, float, float]] = deque(maxlen=WINDOW)

    def add(self, probabilities: list[float], scored: Scored) -> None:
        for p, tokens, unknown in zip(
            probabilities, scored.tokens.tolist(), scored.unknown.tolist(), strict=True
        ):
            _OF_LABEL[p > 0.5].inc()
            SCORE.observe(p)
            TOKENS.observe(tokens)
            UNKNOWN.inc(unknown)
            self._window.append((p, tokens, unknown / (tokens or 1)))

    def stability(self) -> dict[str, float]:
        """Return the stability index of each statistic; none without a reference or with few."""
        if self._reference is None or len(self._window) < FEWEST:
            return {}
        columns = np.array(self._window).T
        return drift.stability(self._reference, dict(zip(drift.STATISTICS, columns, strict=True)))


class ModelMetrics(Collector):
    """The metrics that belong to the model that is served at the moment."""

    def __init__(self, predictor: "SentimentPredictor") -> None:
        self._predictor = predictor

    def collect(self) -> Iterator[Metric]:
        model = self._predictor.served
        about = {"version": model.version, "digest": model.digest}
        yield InfoMetricFamily("model_version", "The model that is served", about)
        if model.created is not None:
            yield GaugeMetricFamily(
                "model_created_timestamp_seconds",
                "When the model that is served was registered",
                value=model.created,
            )
        stability = GaugeMetricFamily(
            "model_drift_psi",
            f"Population stability index of the last {WINDOW} texts against the reference",
            labels=["statistic"],
        )
        for name, value in model.observed.stability().items():
            stability.add_metric([name], value)
        yield stability
