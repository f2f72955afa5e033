"""Predictions and feedback as CloudEvents (CloudEvents 1.0, JSON format)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from sentiment.masking import mask

PREDICTION = "sentiment.prediction"
FEEDBACK = "sentiment.feedback"
# what an event holds in memory beside its text, in characters: a lower bound for empty texts, too
OVERHEAD = 256


@dataclass(slots=True)
class CapturedRequest:
    """A request and its predictions; ``sample`` is the fraction of requests that are captured.

    ``traceparent`` is the valid header of the request, an extension of CloudEvents.
    """

    time: float
    version: str
    request_id: str
    sample: float
    texts: Sequence[str]
    predictions: Sequence[dict[str, Any]]
    traceparent: str | None = None

    @property
    def number(self) -> int:
        return len(self.texts)

    @property
    def characters(self) -> int:
        return sum(map(len, self.texts)) + OVERHEAD * len(self.texts)

    def events(self, model: str, ids: Iterator[str]) -> Iterator[dict[str, Any]]:
        source = f"/models/{model}/versions/{self.version}"
        time = _format(self.time)
        pairs = zip(self.texts, self.predictions, strict=True)
        for index, (text, prediction) in enumerate(pairs):
            named = {"request_id": self.request_id, "index": index, "sample": self.sample}
            data = named | {"text": mask(text)} | prediction
            event = _event(PREDICTION, next(ids), source, time, data)
            yield event if self.traceparent is None else event | {"traceparent": self.traceparent}


@dataclass(slots=True)
class Feedback:
    """The items of a request of feedback, each with the fields of its event's ``data``."""

    time: float
    items: Sequence[dict[str, Any]]

    @property
    def number(self) -> int:
        return len(self.items)

    @property
    def characters(self) -> int:
        texts = sum(len(item["request_id"]) + len(item.get("by", "")) for item in self.items)
        return texts + OVERHEAD * len(self.items)

    def events(self, model: str, ids: Iterator[str]) -> Iterator[dict[str, Any]]:
        time = _format(self.time)
        for item in self.items:
            yield _event(FEEDBACK, next(ids), f"/models/{model}", time, item)


@dataclass(slots=True)
class Lines:
    """The events of some requests as they are written."""

    time: float
    number: int
    content: bytes

    @property
    def characters(self) -> int:
        return len(self.content)


def line(event: dict[str, Any]) -> bytes:
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


def _format(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()


def _event(kind: str, name: str, source: str, time: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": name,
        "source": source,
        "type": kind,
        "time": time,
        "datacontenttype": "application/json",
        "data": data,
    }
