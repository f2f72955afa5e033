"""``:feedback`` of the real predictor process, and what it writes beside the capture."""

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cloudevents.http import from_json

from components.errors import UserError
from components.monitor import read_texts
from pipelines.local import s3_client, s3_server
from serving.capture import writer
from tests.serving import FEEDBACK, INFER, JSON, PREDICT, TEXTS, Server, serving

ROUTE = "/v1/models/{model_name}:feedback"
GOOD = {"id": "a", "index": 0, "label": "positive"}


def events(folder: Path) -> list:
    lines = [line for file in sorted(folder.rglob("*.jsonl")) for line in file.open()]
    return [from_json(line) for line in lines]


def send(server: Server, *items, **headers: str):
    """Send feedback; return status, answer and headers."""
    return server.ask(FEEDBACK, json.dumps({"feedback": items}).encode(), JSON | headers)


@pytest.fixture(scope="module")
def capturing(trained, tmp_path_factory):
    directory = tmp_path_factory.mktemp("feedback")
    flags = ["--capture", str(directory / "captured"), "--capture_sample", "0"]
    with serving(trained.model, directory, *flags, "--max_instances", "8") as server:
        yield server


def test_feedback_names_captured_predictions(trained, tmp_path):
    captured = tmp_path / "captured"
    began = datetime.now(UTC)
    with serving(trained.model, tmp_path, "--capture", str(captured)) as server:
        body = json.dumps({"instances": TEXTS}).encode()
        first = server.ask(PREDICT, body, JSON)[2]["x-request-id"]
        second = server.ask(PREDICT, body, JSON | {"x-request-id": "order-7:a"})[2]["x-request-id"]
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["A dull film."]}
        sent = json.dumps({"id": "third", "inputs": [tensor]}).encode()
        third = server.ask(INFER, sent, JSON)[2]["x-request-id"]
        before = server.samples()
        answers = [
            send(
                server,
                {"id": first, "index": 3, "label": "negative", "by": "Jo Ünï <jo@example.org>"},
                {"id": second, "index": 0, "label": "positive"},
            ),
            send(server, {"id": third, "index": 0, "label": "negative", "by": "page"}),
        ]
        assert [answer[:2] for answer in answers] == [
            (202, {"accepted": 2}),
            (202, {"accepted": 1}),
        ]
        grown = server.increases(before)
        assert grown["app_request_count_total", ROUTE, "POST", "202"] == 2
        assert grown["app_request_latency_seconds_count", ROUTE, "none"] == 2
        assert not any(key[0] == "model_prediction_count_total" for key in grown)
    written = events(captured / "feedback")  # all of them, as the server has stopped
    assert [event.data for event in written] == [
        {"request_id": first, "index": 3, "label": "negative", "by": "Jo Ünï <jo@example.org>"},
        {"request_id": "order-7:a", "index": 0, "label": "positive"},
        {"request_id": "third", "index": 0, "label": "negative", "by": "page"},
    ]
    assert {event["type"] for event in written} == {"sentiment.feedback"}
    assert {event["source"] for event in written} == {"/models/sentiment"}
    assert len({event["id"] for event in written}) == 3
    for event in written:
        time = datetime.fromisoformat(event["time"])
        assert began - timedelta(seconds=1) < time < datetime.now(UTC)
    days = {path.parent.name for path in captured.glob("feedback/*/*.jsonl")}
    assert days <= {f"{moment:%Y-%m-%d}" for moment in (began, datetime.now(UTC))}
    predictions = {
        (event.data["request_id"], event.data["index"]): event.data["text"]
        for event in events(captured)
        if event["type"] == "sentiment.prediction"
    }
    assert len(predictions) == 9
    found = [predictions[event.data["request_id"], event.data["index"]] for event in written]
    assert found == [TEXTS[3], TEXTS[0], "A dull film."]


def test_monitor_skips_feedback(trained, tmp_path):
    captured = tmp_path / "captured"
    with serving(trained.model, tmp_path, "--capture", str(captured)) as server:
        server.predict(TEXTS)
        assert send(server, GOOD)[0] == 202
    assert (captured / "feedback").is_dir()
    for source in (str(captured), f"{captured}/"):
        assert read_texts(source, "data.text", "auto") == TEXTS
    for source in (captured / "feedback", f"{captured}/feedback/"):  # read where it is asked for
        with pytest.raises(UserError, match=r"data\.text"):
            read_texts(str(source), "data.text", "auto")
        assert read_texts(str(source), "data.label", "auto") == ["positive"]


def test_feedback_on_s3_is_beside_the_capture(trained, tmp_path, monkeypatch):
    with s3_server(tmp_path / "s3") as environment:
        client = s3_client(environment)
        client.create_bucket(Bucket="captured")
        flags = ["--capture", "s3://captured/of/sentiment/"]
        with serving(trained.model, tmp_path / "server", *flags, **environment) as server:
            server.predict(TEXTS)
            assert send(server, GOOD)[0] == 202
        listed = client.list_objects_v2(Bucket="captured", Prefix="of/sentiment/")["Contents"]
        _, feedback = sorted((item["Key"] for item in listed), key=len)
        assert re.match(r"of/sentiment/feedback/20\d\d-\d\d-\d\d/.*\.jsonl$", feedback)
        body = client.get_object(Bucket="captured", Key=feedback)["Body"].read()
        assert json.loads(body)["data"] == {"request_id": "a", "index": 0, "label": "positive"}
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it has the keys of another server
        assert read_texts("s3://captured/of/sentiment/", "data.text", "auto") == TEXTS
        for source in ("feedback/", feedback.removeprefix("of/sentiment/")):
            source = f"s3://captured/of/sentiment/{source}"
            assert read_texts(source, "data.label", "auto") == ["positive"]


def test_feedback_is_never_sampled(capturing):
    before = capturing.samples()
    for _ in range(20):
        assert send(capturing, *[GOOD] * 8)[:2] == (202, {"accepted": 8})
    assert capturing.increases(before)["app_request_count_total", ROUTE, "POST", "202"] == 20


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "array, not an object"),
        ({}, '"feedback" must be a list'),
        ({"feedback": None}, '"feedback" must be a list'),
        ({"feedback": GOOD}, '"feedback" must be a list'),
        ({"feedback": []}, "one item or more"),
        ({"feedback": [GOOD], "by": "x"}, "nothing else"),
        ({"feedback": [GOOD, "a"]}, "feedback[1] must be an object"),
        ({"feedback": [{"index": 0, "label": "positive"}]}, "feedback[0].id is missing"),
        ({"feedback": [{"id": "a", "label": "positive"}]}, "feedback[0].index is missing"),
        ({"feedback": [{"id": "a", "index": 0}]}, "feedback[0].label is missing"),
        ({"feedback": [GOOD | {"text": "x"}]}, "feedback[0] has the unknown field 'text'"),
        ({"feedback": [GOOD | {"\ud800\n": "x"}]}, r"unknown field '\ud800\n'"),
        ({"feedback": [GOOD | {"id": 7}]}, "feedback[0].id must be the x-request-id"),
        ({"feedback": [GOOD | {"id": ""}]}, "feedback[0].id"),
        ({"feedback": [GOOD | {"id": "a b"}]}, "feedback[0].id"),
        ({"feedback": [GOOD | {"id": "a\n"}]}, "feedback[0].id"),
        ({"feedback": [GOOD | {"id": "x" * 129}]}, "feedback[0].id"),
        ({"feedback": [GOOD | {"index": -1}]}, "feedback[0].index must be an integer"),
        ({"feedback": [GOOD | {"index": True}]}, "feedback[0].index"),
        ({"feedback": [GOOD | {"index": 0.0}]}, "feedback[0].index"),
        ({"feedback": [GOOD | {"index": "0"}]}, "feedback[0].index"),
        ({"feedback": [GOOD | {"index": 10**400}]}, "feedback[0].index"),
        ({"feedback": [GOOD | {"index": 2**31}]}, "feedback[0].index"),
        ({"feedback": [GOOD | {"label": "neutral"}]}, "label must be one of negative, positive"),
        ({"feedback": [GOOD | {"label": ["positive"]}]}, "feedback[0].label"),
        ({"feedback": [GOOD | {"label": 1}]}, "feedback[0].label"),
        ({"feedback": [GOOD | {"by": ""}]}, "feedback[0].by must be a string of 1 to 200"),
        ({"feedback": [GOOD | {"by": "x" * 201}]}, "feedback[0].by"),
        ({"feedback": [GOOD | {"by": None}]}, "feedback[0].by"),
        ({"feedback": [GOOD | {"by": "\ud800"}]}, "feedback[0].by is not Unicode"),
    ],
)
def test_invalid_feedback_is_refused_whole(capturing, body, reason):
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    before = capturing.samples()
    status, answer = capturing.refusal(FEEDBACK, sent, JSON)
    assert status == 400
    assert reason in answer
    grown = capturing.increases(before)
    assert grown["app_request_count_total", ROUTE, "POST", "400"] == 1
    assert grown["app_request_rejected_count_total", "invalid"] == 1


def test_feedback_within_and_beyond_the_limits(capturing):
    edges = GOOD | {"id": "x" * 128, "index": 2**31 - 1, "by": "🙂" * 200}
    assert send(capturing, edges)[0] == 202
    assert send(capturing, *[GOOD] * 9)[0] == 413
    assert send(capturing, GOOD | {"by": "x" * 2**20})[0] == 413  # the body
    assert send(capturing, GOOD, **{"content-encoding": "gzip"})[0] == 415
    status, reason = capturing.refusal("/v1/models/other:feedback", b"{}", JSON)
    assert (status, "other" in reason) == (404, True)
    assert capturing.ask("/v2/models/sentiment")[1]["parameters"] == {"feedback": True}


def test_feedback_is_off_without_capture(server):
    for items in ([GOOD], []):  # whatever is sent
        status, answer, _ = send(server, *items)
        assert status == 404
        assert "--capture" in answer["error"]
    assert server.ask("/v2/models/sentiment")[1]["parameters"] == {"feedback": False}


def test_failed_write_of_feedback_is_counted_and_logged(trained, tmp_path):
    captured = tmp_path / "captured"
    with serving(trained.model, tmp_path, "--capture", str(captured)) as server:
        captured.rmdir()
        captured.write_text("in the way")
        assert send(server, GOOD, GOOD)[0] == 202
        log = server.log
    assert re.search(r"2 events for feedback/\S+ are lost", log.read_text())


def test_full_queue_refuses_feedback_and_memory_stays(trained, tmp_path):
    """The storage takes connections and never responds; predictions go on."""
    body = json.dumps({"feedback": [GOOD | {"id": "x" * 128, "by": "é" * 200}] * 256}).encode()

    def ask(_) -> tuple[int, str]:
        status, answer, headers = server.ask(FEEDBACK, body, JSON)
        assert status == 202 or headers["retry-after"] == "5", answer
        return status, answer.get("error", "")

    with socket.create_server(("127.0.0.1", 0)) as hanging:
        environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{hanging.getsockname()[1]}",
            **{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-west-1"},
        }
        with serving(trained.model, tmp_path, "--capture", "s3://x/", **environment) as server:
            ask(0)
            before = server.memory()
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(ask, range(99)))
            refused = [reason for status, reason in answers if status == 503]
            assert 40 < len(refused) < 80
            assert "try again in 5 s" in refused[0]
            assert server.memory() - before < 50e6
            samples = server.samples()
            dropped = samples["model_feedback_dropped_count_total", "no room"]
            assert dropped == 256 * len(refused)
            assert samples["model_capture_dropped_count_total", "no room"] == 0
            assert samples["app_request_count_total", ROUTE, "POST", "503"] == len(refused)
            assert len(server.predict(TEXTS)) == len(TEXTS)


def test_feedback_and_predictions_do_not_fill_each_others_queue(monkeypatch):
    class Hanging:
        def write(self, name: str, content: bytes) -> None:
            raise OSError("not now")

    monkeypatch.setattr(writer, "MAX_QUEUED", 1000)
    capture = writer.Capture("sentiment", Hanging(), 1.0)
    capture._stopping = True  # the thread takes nothing more
    for _ in range(100):
        capture.offer("1", "a", ["x" * 900], [{"label": "positive"}])
    assert capture.accept_feedback([{"request_id": "a", "index": 0, "label": "positive"}])
