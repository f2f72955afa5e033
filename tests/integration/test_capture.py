"""Captured predictions, from a real predictor to the stage that reads them."""

import json
import re
import time
import uuid
from pathlib import Path

import grpc
import pytest
from cloudevents.http import from_json

from components.monitor import read_texts
from pipelines.local import s3_client, s3_server
from serving.capture import targets, writer
from tests.serving import EXPLAIN, INFER, JSON, PREDICT, TEXTS, call_infer, serving


def events(folder: Path) -> list:
    lines = [line for file in sorted(folder.rglob("*.jsonl")) for line in file.open()]
    return [from_json(line) for line in lines]


def test_predictions_become_events_for_monitor(trained, tmp_path):
    captured = tmp_path / "captured"
    flags = ["--capture", str(captured), "--model_version", "7"]
    with serving(trained.model, tmp_path, *flags) as server:
        body = json.dumps({"instances": TEXTS}).encode()
        _, answer, headers = server.ask(PREDICT, body, JSON)
        predictions, name = answer["predictions"], headers["x-request-id"]
        secret = "Mail joe@example.org or call +49 30 1234567, card 4111 1111 1111 1111."
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [secret]}
        body = json.dumps({"id": "mail", "inputs": [tensor]}).encode()
        assert server.ask(INFER, body, JSON)[0] == 200
        assert call_infer(server, ["Over gRPC."]) == grpc.StatusCode.OK
        server.ask(EXPLAIN, b'{"instances": ["not captured"]}', JSON)
        server.ask(PREDICT, b'{"instances": [7]}', JSON)
    written = events(captured)  # all of them, as the server has stopped
    masked = "Mail [email] or call [phone], card [card]."
    assert [event.data["text"] for event in written] == [*TEXTS, masked, "Over gRPC."]
    assert [event.data for event in written[:4]] == [
        {"request_id": name, "index": i, "sample": 1.0, "text": text} | prediction
        for i, (text, prediction) in enumerate(zip(TEXTS, predictions, strict=True))
    ]
    assert written[4].data["request_id"] == "mail"
    assert written[5].data["index"] == 0
    assert uuid.UUID(written[5].data["request_id"]).version == 4
    assert {event["type"] for event in written} == {"sentiment.prediction"}
    assert {event["source"] for event in written} == {"/models/sentiment/versions/7"}
    assert len({event["id"] for event in written}) == len(written)
    assert read_texts(str(captured), "data.text", "auto") == [*TEXTS, masked, "Over gRPC."]
    assert not list(captured.rglob(".*"))


def test_trace_of_a_request_is_captured(trained, tmp_path):
    captured = tmp_path / "captured"
    valid = f"00-{'a' * 32}-{'b' * 16}-01"
    body = b'{"instances": ["x"]}'
    with serving(trained.model, tmp_path, "--capture", str(captured)) as server:
        for header in ({"traceparent": valid}, {"traceparent": f"{valid}-x"}, {}):
            assert server.ask(PREDICT, body, JSON | header)[0] == 200
    found = [event.get("traceparent") for event in events(captured)]
    assert found == [valid, None, None]


def test_sample_is_a_fraction_of_the_requests(trained, tmp_path):
    captured = tmp_path / "captured"
    flags = ["--capture", str(captured), "--capture_sample", "0.3"]
    with serving(trained.model, tmp_path, *flags) as server:
        for _ in range(400):
            server.predict(["x"])
    written = events(captured)
    assert 80 < len(written) < 160  # 120, and four standard deviations to either side
    assert {event.data["sample"] for event in written} == {0.3}


def test_predictions_are_written_to_s3(trained, tmp_path):
    with s3_server(tmp_path / "s3") as environment:
        client = s3_client(environment)
        client.create_bucket(Bucket="captured")
        flags = ["--capture", "s3://captured/of/sentiment/"]
        with serving(trained.model, tmp_path / "server", *flags, **environment) as server:
            server.predict(TEXTS)
        (item,) = client.list_objects_v2(Bucket="captured")["Contents"]
        assert item["Key"].startswith("of/sentiment/20")
        body = client.get_object(Bucket="captured", Key=item["Key"])["Body"].read()
    assert [json.loads(line)["data"]["text"] for line in body.splitlines()] == TEXTS


def test_failed_write_fails_no_request(trained, tmp_path):
    captured = tmp_path / "captured"
    with serving(trained.model, tmp_path, "--capture", str(captured)) as server:
        captured.rmdir()
        captured.write_text("in the way")
        assert len(server.predict(TEXTS)) == len(TEXTS)
        log = server.log
    assert re.search(r"4 events for 20\S+ are lost", log.read_text())


class SlowTarget:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, name: str, content: bytes) -> None:
        time.sleep(0.5)
        self.written.append(content)


def test_full_queue_drops_and_counts_predictions(monkeypatch):
    monkeypatch.setattr(writer, "MAX_QUEUED", 10_000)
    before = writer.DROPPED.labels("no room")._value.get()
    target = SlowTarget()
    capture = writer.Capture("sentiment", target, 1.0)
    for _ in range(100):
        capture.offer("1", "a", ["x" * 1000], [{"label": "positive", "probability": 0.9}])
        assert capture._predictions.characters <= 10_000
    capture.stop()
    dropped = writer.DROPPED.labels("no room")._value.get() - before
    written = sum(content.count(b"\n") for content in target.written)
    assert dropped > 0
    assert written + dropped == 100


def test_events_that_a_stop_loses_are_logged(caplog):
    """Storage that does not respond must not keep a pod from its end; the log says what it cost."""
    capture = writer.Capture("sentiment", SlowTarget(), 1.0)
    capture.accept_feedback([{"request_id": "r1", "index": 0, "label": "positive"}])
    capture.stop(timeout=0.1)
    assert "feedback are lost: not written in 0.1 s" in caplog.text
    capture.stop()


def test_file_is_complete_or_absent(tmp_path):
    folder = targets.open_target(str(tmp_path / "a" / "b"))
    folder.write("day/name.jsonl", b"x")
    assert (tmp_path / "a/b/day/name.jsonl").read_bytes() == b"x"
    (tmp_path / "a/b/day/other.jsonl").mkdir()
    with pytest.raises(OSError, match="other"):
        folder.write("day/other.jsonl", b"x")
    names = sorted(path.name for path in (tmp_path / "a/b/day").iterdir())
    assert names == ["name.jsonl", "other.jsonl"]
