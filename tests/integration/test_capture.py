"""What is kept of requests, from a real predictor to the stage that reads it."""

import json
import time
from pathlib import Path

import pytest
from cloudevents.http import from_json

from components.monitor import read_texts
from pipelines.local import s3_client, s3_server
from serving.capture import targets, writer
from tests.serving import EXPLAIN, INFER, JSON, TEXTS, serving


def events(folder: Path) -> list:
    lines = [line for file in sorted(folder.rglob("*.jsonl")) for line in file.open()]
    return [from_json(line) for line in lines]


def test_every_prediction_is_an_event_that_monitor_reads(trained, tmp_path):
    kept = tmp_path / "kept"
    with serving(trained.model, tmp_path, "--capture", str(kept), "--model_version", "7") as server:
        answers = server.predict(TEXTS)
        secret = "Mail joe@example.org or call +49 30 1234567, card 4111 1111 1111 1111."
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [secret]}
        assert server.ask(INFER, json.dumps({"inputs": [tensor]}).encode(), JSON)[0] == 200
        server.ask(EXPLAIN, b'{"instances": ["not kept"]}', JSON)
        server.ask("/v1/models/sentiment:predict", b'{"instances": [7]}', JSON)
    found = events(kept)  # whole, as the server has ended
    masked = "Mail [email] or call [phone], card [card]."
    assert [event.data["text"] for event in found] == [*TEXTS, masked]
    assert [event.data["probability"] for event in found[:-1]] == [
        answer["probability"] for answer in answers
    ]
    assert {event["type"] for event in found} == {"sentiment.prediction"}
    assert {event["source"] for event in found} == {"/models/sentiment/versions/7"}
    assert len({event["id"] for event in found}) == len(found)
    assert read_texts(str(kept), "data.text", None) == [*TEXTS, masked]
    assert not list(kept.rglob(".*"))


def test_of_a_sample_about_so_many_are_kept(trained, tmp_path):
    kept = tmp_path / "kept"
    with serving(
        trained.model, tmp_path, "--capture", str(kept), "--capture_sample", "0.3"
    ) as server:
        for _ in range(400):
            server.predict(["x"])
    assert 80 < len(events(kept)) < 160  # 120, and four standard deviations to either side


def test_s3_takes_the_same(trained, tmp_path):
    with s3_server(tmp_path / "s3") as environment:
        client = s3_client(environment)
        client.create_bucket(Bucket="kept")
        target = "s3://kept/of/sentiment/"
        with serving(
            trained.model, tmp_path / "server", "--capture", target, **environment
        ) as server:
            server.predict(TEXTS)
        (each,) = client.list_objects_v2(Bucket="kept")["Contents"]
        assert each["Key"].startswith("of/sentiment/20")
        body = client.get_object(Bucket="kept", Key=each["Key"])["Body"].read()
    assert [json.loads(line)["data"]["text"] for line in body.splitlines()] == TEXTS


def test_a_target_that_fails_fails_no_request_and_is_counted(trained, tmp_path):
    kept = tmp_path / "kept"
    with serving(trained.model, tmp_path, "--capture", str(kept)) as server:
        kept.rmdir()
        kept.write_text("in the way")
        assert len(server.predict(TEXTS)) == len(TEXTS)
        log = server.log
    assert "4 captured predictions are lost" in log.read_text()


class Slow:
    """A disk that takes its time."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, name: str, content: bytes) -> None:
        time.sleep(0.5)
        self.written.append(content)


def test_memory_is_bounded_and_what_has_no_room_is_counted(monkeypatch):
    monkeypatch.setattr(writer, "MAX_HELD", 10_000)
    before = writer.DROPPED.labels("no room")._value.get()
    slow = Slow()
    kept = writer.Capture("sentiment", slow, 1.0)
    for _ in range(100):
        kept.offer("1", ["x" * 1000], ["positive"], [0.9])
        assert kept._held <= 10_000
    kept.stop()
    dropped = writer.DROPPED.labels("no room")._value.get() - before
    written = sum(content.count(b"\n") for content in slow.written)
    assert dropped > 0
    assert written + dropped == 100


def test_a_file_appears_whole(tmp_path):
    folder = targets.target(str(tmp_path / "a" / "b"))
    folder.write("day/name.jsonl", b"x")
    assert (tmp_path / "a/b/day/name.jsonl").read_bytes() == b"x"
    (tmp_path / "a/b/day/other.jsonl").mkdir()
    with pytest.raises(OSError, match="other"):
        folder.write("day/other.jsonl", b"x")
    assert sorted(path.name for path in (tmp_path / "a/b/day").iterdir()) == [
        *("name.jsonl", "other.jsonl")
    ]
