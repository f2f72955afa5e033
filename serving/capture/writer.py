"""Write a sample of requests with their predictions, without delaying or failing a request.

Each prediction is a CloudEvent (CloudEvents 1.0, JSON format) on a line of its own. Files appear
complete in a folder of their day, on disk or on S3, where the stage ``monitor`` reads them.
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
from typing import Any, NamedTuple, Protocol

import orjson
from prometheus_client import Counter

from sentiment.masking import mask

log = logging.getLogger(__name__)

CAPTURED = Counter("model_capture_count", "Predictions written for monitoring")
DROPPED = Counter("model_capture_dropped_count", "Predictions lost to monitoring", ["reason"])
_QUEUE_FULL, _WRITE_FAILED = map(DROPPED.labels, ("no room", "not written"))  # 0, not absent

EVENT_TYPE = "sentiment.prediction"
MAX_QUEUED = 16_000_000  # characters of texts in the queue
FILE_EVENTS = 5_000
FILE_SECONDS = 30.0  # the longest that a prediction stays in the queue


class CapturedRequest(NamedTuple):
    """A request and its predictions."""

    time: float
    version: str
    texts: Sequence[str]
    predictions: Sequence[dict[str, Any]]

    def characters(self) -> int:
        return sum(map(len, self.texts))


class Target(Protocol):
    def write(self, name: str, content: bytes) -> None: ...


class Capture:
    """Queues the fraction ``sample`` of all requests offered, and writes them in a thread."""

    def __init__(self, model: str, target: Target, sample: float) -> None:
        self._model = model
        self._target = target
        self._sample = sample
        self._queue: deque[CapturedRequest] = deque()
        self._queued = 0  # characters
        self._changed = threading.Condition()
        self._stopping = False
        self._names = (f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}-{n:06}" for n in count())
        self._writer = threading.Thread(target=self._write_all, name="capture", daemon=True)
        self._writer.start()

    def offer(
        self, version: str, texts: Sequence[str], predictions: Sequence[dict[str, Any]]
    ) -> None:
        """Queue a request if it is in the sample and the queue has room; never wait."""
        if random.random() >= self._sample:  # noqa: S311 - not for cryptography
            return
        request = CapturedRequest(time.time(), version, texts, predictions)
        with self._changed:
            queued = self._queued + request.characters()
            if queued > MAX_QUEUED:
                _QUEUE_FULL.inc(len(texts))
                return
            self._queued = queued
            self._queue.append(request)
            if queued > MAX_QUEUED / 4:
                self._changed.notify()

    def stop(self, timeout: float = 10.0) -> None:
        """Write the queue, and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._writer.join(timeout)

    def _write_all(self) -> None:
        while not self._stopping:
            with self._changed:
                self._changed.wait(FILE_SECONDS)
            while batch := self._take_batch():
                self._write(batch)

    def _take_batch(self) -> list[CapturedRequest]:
        batch: list[CapturedRequest] = []
        events = 0
        with self._changed:
            while self._queue and events < FILE_EVENTS:
                batch.append(self._queue.popleft())
                events += len(batch[-1].texts)
                self._queued -= batch[-1].characters()
        return batch

    def _write(self, batch: Sequence[CapturedRequest]) -> None:
        events = sum(len(request.texts) for request in batch)
        moment = datetime.fromtimestamp(batch[0].time, UTC)
        name = f"{moment:%Y-%m-%d}/{moment:%H%M%S}-{next(self._names)}.jsonl"
        try:
            lines = (line for request in batch for line in self._lines(request))
            self._target.write(name, b"".join(lines))
        except Exception as error:  # any error of a disk or a network
            log.warning("%d captured predictions are lost: %s", events, error)
            _WRITE_FAILED.inc(events)
        else:
            CAPTURED.inc(events)

    def _lines(self, request: CapturedRequest) -> Iterator[bytes]:
        timestamp = datetime.fromtimestamp(request.time, UTC).isoformat()
        for text, prediction in zip(request.texts, request.predictions, strict=True):
            time.sleep(0)  # release the interpreter lock, or a request waits for many lines
            event = {
                "specversion": "1.0",
                "id": str(uuid.uuid4()),
                "source": f"/models/{self._model}/versions/{request.version}",
                "type": EVENT_TYPE,
                "time": timestamp,
                "datacontenttype": "application/json",
                "data": {"text": mask(text)} | prediction,
            }
            yield orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
