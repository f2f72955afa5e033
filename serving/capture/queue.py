"""Queues of what the writer has yet to write, within a limit of characters."""

from collections import deque

from prometheus_client import Counter

from serving.capture.events import CapturedRequest, Feedback, Lines

Record = CapturedRequest | Feedback | Lines
REASONS = _QUEUE_FULL, _WRITE_FAILED = "no room", "not written"


class Queue:
    """Records of one kind, which are written to one folder and counted by their events.

    It is not locked; the writer's lock is around each call.
    """

    def __init__(self, folder: str, limit: int, written: Counter, dropped: Counter) -> None:
        self.folder = folder
        self.characters = 0
        self.number = 0  # of events
        self._limit = limit
        self._records: deque[Record] = deque()
        self._written = written
        self._full, self._failed = map(dropped.labels, (_QUEUE_FULL, _WRITE_FAILED))

    def put(self, record: Record) -> bool:
        """Return whether there is room for the record; its events are lost if there is none."""
        characters = self.characters + record.characters
        if characters > self._limit:
            self._full.inc(record.number)
            return False
        self.characters = characters
        self.number += record.number
        self._records.append(record)
        return True

    def is_filling(self) -> bool:
        """Tell whether the queue should be written before its time."""
        return self.characters > self._limit / 4

    def take(self, events: int) -> list[Record]:
        """Remove the oldest records, until they have so many events or more."""
        batch: list[Record] = []
        while self._records and events > 0:
            record = self._records.popleft()
            self.characters -= record.characters
            self.number -= record.number
            events -= record.number
            batch.append(record)
        return batch

    def count_written(self, events: int) -> None:
        self._written.inc(events)

    def count_failed(self, events: int) -> None:
        self._failed.inc(events)
