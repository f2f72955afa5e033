"""The limit and the counts of a queue of the capture, and the events that it holds."""

from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry, Counter

from serving.capture import events, writer
from serving.capture.events import OVERHEAD, CapturedRequest, Feedback, Lines
from serving.capture.queue import Queue
from serving.capture.writer import Capture

LIMIT = 10_000


@pytest.fixture
def counters() -> tuple[Counter, Counter]:
    registry = CollectorRegistry()
    written = Counter("written", "w", registry=registry)
    return written, Counter("dropped", "d", ["reason"], registry=registry)


def feedback(items: int, by: str = "") -> Feedback:
    return Feedback(0.0, [{"request_id": "a", "index": 0, "label": "x", "by": by}] * items)


def captured(*texts: str) -> CapturedRequest:
    return CapturedRequest(0.0, "7", "a", 0.5, texts, [{"label": "x"}] * len(texts))


def test_empty_texts_fill_the_queue_too(counters):
    queue = Queue("", LIMIT, *counters)
    room = [queue.put(captured("", "")) for _ in range(50)]
    assert room == [True] * (LIMIT // (2 * OVERHEAD)) + [False] * (50 - LIMIT // (2 * OVERHEAD))
    assert counters[1].labels("no room")._value.get() == 2 * room.count(False)
    assert counters[1].labels("not written")._value.get() == 0


def test_feedback_is_counted_by_its_characters(counters):
    queue = Queue("feedback/", LIMIT, *counters)
    assert queue.put(feedback(1, "x" * (LIMIT - OVERHEAD - 1)))
    assert queue.characters == LIMIT
    assert not queue.put(feedback(1))


def test_taken_records_make_room(counters):
    queue = Queue("", LIMIT, *counters)
    records = [captured(*"abc"), captured("d"), captured(*"ef")]
    assert all(queue.put(record) for record in records)
    assert queue.take(4) == records[:2]
    assert queue.characters == records[2].characters
    assert queue.take(4) == records[2:]
    assert queue.characters == 0
    assert queue.take(4) == []


def test_queue_is_written_early_when_it_fills(counters):
    queue = Queue("", LIMIT, *counters)
    queue.put(captured("x" * (LIMIT // 4 - OVERHEAD)))
    assert not queue.is_filling()
    queue.put(captured(""))
    assert queue.is_filling()


def test_events_have_the_index_and_masked_texts():
    first, second = captured("a", "call +49 30 1234567").events("airline", iter("ab"))
    assert first["source"] == "/models/airline/versions/7"
    assert first["data"] == {
        **{"request_id": "a", "index": 0, "sample": 0.5, "text": "a", "label": "x"},
    }
    assert second["data"]["index"] == 1
    assert second["data"]["text"] == "call [phone]"
    assert [first["id"], second["id"]] == ["a", "b"]
    assert first["time"] == "1970-01-01T00:00:00+00:00"
    (event,) = feedback(1, "jo@example.org").events("airline", iter("ab"))
    assert event["source"] == "/models/airline"
    assert event["data"]["by"] == "jo@example.org"


class Memory:
    """A target that keeps the files."""

    def __init__(self) -> None:
        self.files: list[list[dict[str, Any]]] = []

    def write(self, name: str, content: bytes) -> None:
        self.files.append([orjson.loads(line) for line in content.splitlines()])


def offer_all(capture: Capture, texts: list[str]) -> list[type]:
    """Offer each text in a request of its own; return the kinds of records that are queued."""
    with capture._changed:  # the thread waits
        for text in texts:
            capture.offer("7", "a", [text], [{"label": "x"}])
        return list(map(type, capture._predictions._records))


def test_lines_of_short_texts_are_made_together_and_of_long_ones_by_the_thread():
    target = Memory()
    capture = Capture("airline", target, 1.0)
    texts = ["a" * 8_000] * 7 + ["b" * 10_000, "+49 30 1234567"]
    assert offer_all(capture, texts) == [CapturedRequest, Lines]
    capture.stop()
    assert len(target.files) == 1
    written = [event["data"]["text"] for event in target.files[0]]
    assert sorted(written) == sorted([*texts[:-1], "[phone]"])
    assert len({event["id"] for event in target.files[0]}) == len(texts)


def test_no_line_is_made_on_the_event_loop_after_its_time(monkeypatch):
    masked = []
    monkeypatch.setattr(events, "mask", lambda text: masked.append(text) or text)
    monkeypatch.setattr(writer, "_SECONDS", 0.0)
    target = Memory()
    capture = Capture("airline", target, 1.0)
    with capture._changed:
        assert offer_all(capture, ["1 " * 4_000] * 8) == [CapturedRequest] * 8
        assert masked == []
    capture.stop()
    assert [len(file) for file in target.files] == [8]


def test_line_that_cannot_be_made_fails_no_request_and_is_counted():
    target = Memory()
    capture = Capture("airline", target, 1.0)
    failed = writer.DROPPED.labels("not written")._value
    before = failed.get()
    assert CapturedRequest in offer_all(capture, ["a" * 8_000] * 7 + ["\ud800" * 8_000])
    capture.stop()
    assert failed.get() - before + sum(map(len, target.files)) == 8


def test_events_that_come_while_a_file_is_written_wait_for_the_next():
    class Growing(Memory):
        def write(self, name: str, content: bytes) -> None:
            super().write(name, content)
            if len(self.files) < 9:
                offer_all(capture, ["a" * 8_192] * 9)

    target = Growing()
    capture = Capture("airline", target, 1.0)
    offer_all(capture, ["a" * 8_192] * 9)
    capture.stop()
    assert len(target.files) == 1
