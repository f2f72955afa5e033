"""Keeps a sample of requests and answers for monitoring, without slowing or failing any of them.

A prediction becomes a CloudEvent (CloudEvents 1.0, JSON format), one a line, in files that appear
whole in a folder of the day, on disk or on S3: a source that the stage monitor reads.
"""

import logging
import random
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import NamedTuple, Protocol

import orjson
from prometheus_client import Counter

from serving.capture.masking import mask

log = logging.getLogger(__name__)

CAPTURED = Counter("model_capture_count", "Predictions written for monitoring")
DROPPED = Counter("model_capture_dropped_count", "Predictions lost to monitoring", ["reason"])
_NO_ROOM, _NOT_WRITTEN = map(DROPPED.labels, ("no room", "not written"))  # 0, not absent

EVENT_TYPE = "sentiment.prediction"
MAX_HELD = 16_000_000  # characters of texts that wait to be written
FILE_EVENTS = 5_000
FILE_SECONDS = 30.0  # the longest that a prediction waits


class Answered(NamedTuple):
    """A request and what was answered."""

    at: float
    version: str
    texts: Sequence[str]
    labels: Sequence[str]
    probabilities: Sequence[float]

    def size(self) -> int:
        return sum(map(len, self.texts))


class Target(Protocol):
    def write(self, name: str, content: bytes) -> None: ...


class Capture:
    """Takes ``sample`` (from 0 to 1) of the requests offered, and writes them in a thread."""

    def __init__(self, model: str, target: Target, sample: float) -> None:
        self._model = model
        self._target = target
        self._sample = sample
        self._waiting: deque[Answered] = deque()
        self._held = 0  # characters
        self._changed = threading.Condition()
        self._stopping = False
        self._names = (f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}-{n:06}" for n in count())
        self._writer = threading.Thread(target=self._write_all, name="capture", daemon=True)
        self._writer.start()

    def offer(
        self,
        version: str,
        texts: Sequence[str],
        labels: Sequence[str],
        probabilities: Sequence[float],
    ) -> None:
        """Keep a request if the dice say so and there is room; never wait."""
        if random.random() >= self._sample:  # noqa: S311 - no secret hangs on it
            return
        answered = Answered(time.time(), version, texts, labels, probabilities)
        with self._changed:
            held = self._held + answered.size()
            if held > MAX_HELD:
                _NO_ROOM.inc(len(texts))
                return
            self._held = held
            self._waiting.append(answered)
            if held > MAX_HELD / 4:
                self._changed.notify()

    def stop(self, timeout: float = 10.0) -> None:
        """Write what waits, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._writer.join(timeout)

    def _write_all(self) -> None:
        while not self._stopping:
            with self._changed:
                self._changed.wait(FILE_SECONDS)
            while batch := self._take():
                self._write(batch)

    def _take(self) -> list[Answered]:
        batch: list[Answered] = []
        events = 0
        with self._changed:
            while self._waiting and events < FILE_EVENTS:
                batch.append(self._waiting.popleft())
                events += len(batch[-1].texts)
                self._held -= batch[-1].size()
        return batch

    def _write(self, batch: Sequence[Answered]) -> None:
        events = sum(len(each.texts) for each in batch)
        moment = datetime.fromtimestamp(batch[0].at, UTC)
        name = f"{moment:%Y-%m-%d}/{moment:%H%M%S}-{next(self._names)}.jsonl"
        try:
            self._target.write(name, b"".join(line for each in batch for line in self._lines(each)))
        except Exception as error:  # whatever a disk or a network comes up with
            log.warning("%d captured predictions are lost: %s", events, error)
            _NOT_WRITTEN.inc(events)
        else:
            CAPTURED.inc(events)

    def _lines(self, answered: Answered) -> Iterator[bytes]:
        at = datetime.fromtimestamp(answered.at, UTC).isoformat()
        rows = zip(answered.texts, answered.labels, answered.probabilities, strict=True)
        for text, label, probability in rows:
            time.sleep(0)  # let go of the interpreter: an answer would else wait for many lines
            event = {
                "specversion": "1.0",
                "id": str(uuid.uuid4()),
                "source": f"/models/{self._model}/versions/{answered.version}",
                "type": EVENT_TYPE,
                "time": at,
                "datacontenttype": "application/json",
                "data": {"text": mask(text), "label": label, "probability": probability},
            }
            yield orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
