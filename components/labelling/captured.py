"""Captured predictions and feedback, the CloudEvents that the predictor writes.

Predictions are in ``DAY/*.jsonl`` beneath the address of the capture, feedback in
``feedback/DAY/*.jsonl``.
"""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from components.errors import UserError
from components.io import records
from components.io.records import record
from components.labelling import folders, json_lines

FEEDBACK = "feedback/"
PREDICTION_TYPE, FEEDBACK_TYPE = "sentiment.prediction", "sentiment.feedback"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}/[^/]+\.jsonl")
_VERSION = re.compile(r"/models/[^/]+/versions/(.+)")


@record
class Prediction:
    """A captured prediction; ``sample`` is the share of the requests that were captured.

    ``index`` is the place in its request; ``time`` is ISO 8601, UTC. One that was captured before
    predictions had names has an empty ``request_id``.
    """

    version: str
    time: str
    text: str
    label: str
    probabilities: dict[str, float]
    request_id: str = ""
    index: int = Field(default=0, ge=0)
    sample: float = Field(default=1.0, gt=0, le=1)

    @property
    def key(self) -> tuple[str, int]:
        return self.request_id, self.index

    @property
    def confidence(self) -> float:
        return max(self.probabilities.values())


@record
class Feedback:
    """What a caller says the label of a prediction is; ``time`` is that of its arrival."""

    request_id: str
    index: int
    label: str
    time: str
    by: str | None = None


def newest(address: str, since: str = "") -> Iterator[Prediction]:
    """Yield the predictions, the newest file first, and none before the day of ``since``.

    Raises:
        UserError: an event cannot be read; the message names file and line.
        UnavailableError: S3 does not respond.
    """
    address, names = _files(address)
    for name in reversed(names):
        if _DAY.fullmatch(name) and name < since[:10]:
            return
        for where, event in reversed([*_events(address, name)]):
            if event.get("type") == PREDICTION_TYPE:
                version = _VERSION.fullmatch(str(event.get("source")))
                if version is None:
                    raise UserError(f"{where}: its source names no version of a model")
                told = {"version": version[1], "time": event.get("time")}
                yield records.parse(_data(event, where) | told, Prediction, where)


def feedback(address: str) -> Iterator[Feedback]:
    """Yield all feedback in the order of its arrival.

    Raises:
        UserError: an event cannot be read; the message names file and line.
        UnavailableError: S3 does not respond.
    """
    for name in folders.names(address):
        if name.startswith(FEEDBACK) and _DAY.fullmatch(name.removeprefix(FEEDBACK)):
            for where, event in _events(address, name):
                if event.get("type") == FEEDBACK_TYPE:
                    told = {"time": event.get("time")}
                    yield records.parse(_data(event, where) | told, Feedback, where)


def _files(address: str) -> tuple[str, list[str]]:
    """Return a folder and the names of its files with predictions; the address may be one file."""
    if address.endswith(".jsonl"):
        folder, _, name = address.rpartition("/")
        return folder or ".", [name]
    return address, [name for name in folders.names(address) if _DAY.fullmatch(name)]


def _events(address: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    content = folders.read(address, name)
    return json_lines.read(content.splitlines(), f"{address.rstrip('/')}/{name}")


def _data(event: dict[str, Any], where: str) -> dict[str, Any]:
    data = event.get("data")
    if not isinstance(data, dict):
        raise UserError(f"{where}: a CloudEvent without data")
    return data
