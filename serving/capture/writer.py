"""Write a sample of requests with their predictions, and feedback, without delaying a request.

Each is a CloudEvent on a line of its own. Files appear complete in a folder of their day, on disk
or on S3; the days of feedback are below the folder ``feedback``.
"""

import logging
import random
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count, takewhile
from typing import Any, Protocol

from prometheus_client import Counter

from serving.capture.events import CapturedRequest, Feedback, Lines, line
from serving.capture.queue import REASONS, Queue, Record

log = logging.getLogger(__name__)

CAPTURED = Counter("model_capture_count", "Predictions written for monitoring")
DROPPED = Counter("model_capture_dropped_count", "Predictions lost to monitoring", ["reason"])
FEEDBACK = Counter("model_feedback_count", "Items of feedback written")
FEEDBACK_DROPPED = Counter("model_feedback_dropped_count", "Items of feedback lost", ["reason"])

for _dropped in (DROPPED, FEEDBACK_DROPPED):
    for _reason in REASONS:
        _dropped.labels(_reason)  # 0 from the start and without capture, not absent

FEEDBACK_FOLDER = "feedback/"
MAX_QUEUED = 16_000_000  # characters of predictions in their queue
MAX_FEEDBACK = 4_000_000  # characters of feedback in its queue, which predictions cannot fill
FILE_EVENTS = 5_000
# The event loop makes the lines of so many characters in a row, in about a millisecond. One at a
# time they would take several times as long, because the processor's cache then has other things
# in it; a thread would take the interpreter lock from the requests. Texts that are mostly digits
# take a hundred times as long: what is left after ``_SECONDS``, and long texts, the thread makes.
# Under full load it makes a few thousand lines a second, far fewer than the event loop.
_TOGETHER = 65_536
_LONG = 8_192  # characters of a text
_SECONDS = 0.01
# After so many lines, the thread pauses: it would only give the interpreter lock to requests that
# already wait for it, and take it again at once.
_LINES = 16
_PAUSE = 0.0005  # seconds
FILE_SECONDS = 30.0  # the longest that a prediction stays in the queue


class Target(Protocol):
    def write(self, name: str, content: bytes) -> None: ...


class Capture:
    """Queues feedback and the fraction ``sample`` of all requests, and writes them in a thread."""

    def __init__(self, model: str, target: Target, sample: float) -> None:
        self._model = model
        self._target = target
        self._sample = sample
        self._predictions = Queue("", MAX_QUEUED, CAPTURED, DROPPED)
        self._feedback = Queue(FEEDBACK_FOLDER, MAX_FEEDBACK, FEEDBACK, FEEDBACK_DROPPED)
        self._requests: deque[CapturedRequest] = deque()  # not yet in the queue of predictions
        self._characters = 0  # of about as many
        self._changed = threading.Condition()
        self._stopping = False
        # a UUID for each event would take as long as the rest of its line
        self._event_ids = map(f"{uuid.uuid4()}-{{}}".format, count())  # safe to share with a thread
        self._names = (f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}-{n:06}" for n in count())
        self._writer = threading.Thread(target=self._write_all, name="capture", daemon=True)
        self._writer.start()

    def offer(
        self,
        version: str,
        request_id: str,
        texts: Sequence[str],
        predictions: Sequence[dict[str, Any]],
        traceparent: str | None = None,
    ) -> None:
        """Queue a request if it is in the sample and the queue has room; never wait."""
        if random.random() < self._sample:  # noqa: S311 - not for cryptography
            named = (time.time(), version, request_id, self._sample)
            request = CapturedRequest(*named, texts, predictions, traceparent)
            self._requests.append(request)
            self._characters += request.characters
            if self._characters > _TOGETHER:
                self._characters = 0
                self._queue_lines()

    def accept_feedback(self, items: Sequence[dict[str, Any]]) -> bool:
        """Queue all items of feedback, or return False if the queue has no room; never wait."""
        return self._put(self._feedback, Feedback(time.time(), items))

    def stop(self, timeout: float = 10.0) -> None:
        """Write the queues, and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._writer.join(timeout)
        if self._writer.is_alive():  # the process ends without it, and its counters with both
            log.warning("predictions and feedback are lost: not written in %g s", timeout)

    def _queue_lines(self) -> None:
        """Queue the lines of all requests, or a request itself if its lines take long or fail."""
        lines: list[bytes] = []
        requests = list(self._taken())
        deadline = time.perf_counter() + _SECONDS
        in_time = takewhile(lambda _: time.perf_counter() < deadline, count())
        for request in requests:
            made: list[bytes] = []
            if max(map(len, request.texts), default=0) <= _LONG:
                # the thread will report the error, and the request that is now answered succeeds
                with suppress(Exception):
                    numbered = zip(in_time, self._events(request), strict=False)
                    made = [line(event) for _, event in numbered]
            if len(made) == request.number:
                lines += made
            else:
                self._put(self._predictions, request)
        if lines:
            self._put(self._predictions, Lines(requests[0].time, len(lines), b"".join(lines)))

    def _events(self, record: CapturedRequest | Feedback) -> Iterator[dict[str, Any]]:
        return record.events(self._model, self._event_ids)

    def _taken(self) -> Iterator[CapturedRequest]:
        with suppress(IndexError):  # the thread takes them too
            while True:
                yield self._requests.popleft()

    def _put(self, queue: Queue, record: Record) -> bool:
        with self._changed:
            has_room = queue.put(record)
            if queue.is_filling():
                self._changed.notify()
        return has_room

    def _write_all(self) -> None:
        stopping = False
        while not stopping:
            with self._changed:
                if not self._stopping:
                    self._changed.wait(FILE_SECONDS)
                stopping = self._stopping
            for request in self._taken():
                self._put(self._predictions, request)
            # and no later events, which would make a file of a few each
            due = {queue: queue.number for queue in (self._feedback, self._predictions)}
            while any(number > 0 for number in due.values()):
                for queue in due:  # in turn, so that neither waits for the other's whole queue
                    if due[queue] > 0:
                        due[queue] -= self._write_file(queue)

    def _write_file(self, queue: Queue) -> int:
        """Write the oldest events of a queue to a file; return their number."""
        with self._changed:
            batch = queue.take(FILE_EVENTS)
        events = sum(record.number for record in batch)
        moment = datetime.fromtimestamp(batch[0].time, UTC)
        name = f"{queue.folder}{moment:%Y-%m-%d}/{moment:%H%M%S}-{next(self._names)}.jsonl"
        try:
            self._target.write(name, b"".join(self._content(batch)))
        except Exception as error:  # any error of a disk or a network
            log.warning("%d events for %s are lost: %s", events, name, error)
            queue.count_failed(events)
        else:
            queue.count_written(events)
        return events

    def _content(self, batch: Sequence[Record]) -> Iterator[bytes]:
        lines = 0
        for record in batch:
            if isinstance(record, Lines):
                yield record.content
                continue
            for event in self._events(record):
                if lines % _LINES == 0:
                    time.sleep(_PAUSE)
                lines += 1
                yield line(event)
