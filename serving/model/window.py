"""Metrics of the texts that a model scores, and their drift from its reference."""

from collections import deque
from typing import Any

import numpy as np
from prometheus_client import Counter, Histogram

from sentiment import drift
from sentiment.model import LABELS
from sentiment.scorer import Scored

SIZE = 2_000  # texts, the latest, that are compared with the reference
MIN_TEXTS = 200  # below, the index is large by chance alone

# prometheus_client adds _total to the name of a counter's samples
PREDICTIONS = Counter("model_prediction_count", "Predictions by class", ["prediction"])
_OF_LABEL = [PREDICTIONS.labels(label) for label in LABELS]  # 0 before the first, not absent
SCORE = Histogram(
    "model_score", "Probability of positive", buckets=[tenth / 10 for tenth in range(1, 11)]
)
TOKENS = Histogram(
    "model_review_tokens", "Tokens in a review", buckets=(10, 25, 50, 100, 200, 400, 800, 1600)
)
UNKNOWN = Counter("model_unknown_token_count", "Tokens that the model has no column for")


class Window:
    """The latest texts that a model has scored.

    ``reference`` is that of :func:`sentiment.drift.reference`; None if the model has none.
    """

    def __init__(self, reference: dict[str, Any] | None) -> None:
        self._reference = reference
        self._texts: deque[tuple[float, float, float]] = deque(maxlen=SIZE)

    def add(self, probabilities: list[float], scored: Scored) -> None:
        for p, tokens, unknown in zip(
            probabilities, scored.tokens.tolist(), scored.unknown.tolist(), strict=True
        ):
            _OF_LABEL[p > 0.5].inc()
            SCORE.observe(p)
            TOKENS.observe(tokens)
            UNKNOWN.inc(unknown)
            self._texts.append((p, tokens, unknown / (tokens or 1)))

    def stability(self) -> dict[str, float]:
        """Return the population stability index of each statistic.

        The result is empty without a reference, or with fewer than ``MIN_TEXTS`` texts.
        """
        if self._reference is None or len(self._texts) < MIN_TEXTS:
            return {}
        columns = np.array(self._texts).T
        return drift.stability(self._reference, dict(zip(drift.STATISTICS, columns, strict=True)))
