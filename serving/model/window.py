"""Metrics of the texts that a model scores, and their drift from its reference."""

from collections import deque
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Histogram

from sentiment import drift
from sentiment.confidence import expected_accuracy
from sentiment.scorer import Scored

SIZE = 2_000  # texts, the latest, that are compared with the reference
MIN_TEXTS = 200  # below, the index is large by chance alone

# prometheus_client adds _total to the name of a counter's samples
PREDICTIONS = Counter("model_prediction_count", "Predictions by class", ["prediction"])
SCORE = Histogram(
    "model_score",
    "Probability of the second of two classes, or of the likeliest of more",
    buckets=[tenth / 10 for tenth in range(1, 11)],
)
TOKENS = Histogram(
    "model_review_tokens", "Tokens in a review", buckets=(10, 25, 50, 100, 200, 400, 800, 1600)
)
UNKNOWN = Counter("model_unknown_token_count", "Tokens that the model has no column for")
UNSEEN = Counter(
    "model_unseen_text_count", "Texts with too many unknown words, as in a language not seen before"
)


class Window:
    """The latest texts that a model has scored.

    ``reference`` is that of :func:`sentiment.drift.reference`; None if the model has none.
    ``classes`` are the names of the model's classes.
    """

    def __init__(self, reference: dict[str, Any] | None, classes: Sequence[str]) -> None:
        self._reference = reference
        # made here, so that a class without a prediction is 0 and not absent
        self._counters = [PREDICTIONS.labels(name) for name in classes]
        self._texts: deque[tuple[float, int, float, float]] = deque(maxlen=SIZE)

    def add(self, probabilities: NDArray[np.float64], labels: list[int], scored: Scored) -> None:
        """Add texts with their probabilities, shape (texts, classes), and likeliest labels."""
        scores = drift.scores(probabilities).tolist()
        if scored.unseen:
            UNSEEN.inc(len(scored.unseen))
        for score, label, tokens, unknown in zip(
            scores, labels, scored.tokens.tolist(), scored.unknown.tolist(), strict=True
        ):
            self._counters[label].inc()
            SCORE.observe(score)
            TOKENS.observe(tokens)
            UNKNOWN.inc(unknown)
            self._texts.append((score, label, tokens, unknown / (tokens or 1)))

    def try_out(self, probabilities: NDArray[np.float64], scored: Scored) -> None:
        """Compute the metrics of :data:`MIN_TEXTS` texts such as these, and forget them.

        Raises:
            ValueError: a metric is not a finite number.
        """
        scores, labels = drift.scores(probabilities), probabilities.argmax(axis=1)
        shares = scored.unknown / np.maximum(scored.tokens, 1)
        texts = list(zip(scores, labels, scored.tokens, shares, strict=True))
        self._texts.extend(islice(cycle(texts), MIN_TEXTS))
        values = self.stability() | {"expected accuracy": self.expected_accuracy() or 0.0}
        self._texts.clear()
        for name, value in values.items():
            if not np.isfinite(value):
                raise ValueError(f"the drift of {name} is {value}, not a finite number")

    def stability(self) -> dict[str, float]:
        """Return the population stability index of each statistic.

        The result is empty without a reference, or with fewer than ``MIN_TEXTS`` texts.
        """
        if self._reference is None or self._is_short():
            return {}
        names = ("score", "class", "length", "unknown")
        columns = np.array(self._texts).T
        return drift.stability(self._reference, dict(zip(names, columns, strict=True)))

    def expected_accuracy(self) -> float | None:
        """Return the accuracy to expect, or None where there is no index that supports it."""
        if self._reference is None or self._is_short():
            return None
        return expected_accuracy(np.array(self._texts)[:, 0], len(self._counters))

    def _is_short(self) -> bool:
        return len(self._texts) < MIN_TEXTS
