"""The predictor process: v1 predictions, request metrics, flags and errors at the start."""

import json
import socket
import subprocess
import sys
import urllib.request
from dataclasses import replace

import grpc
import pytest

import sentiment.model
import sentiment.store
from serving.__main__ import main
from tests.conftest import REPO, free_port, needs_ipv6
from tests.serving import JSON, PREDICT, TEXTS, call_infer


def test_v1_predictions_equal_the_models(server, offline):
    instances = [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2], {"text": TEXTS[3], "id": 5}]
    status, body, headers = server.ask(PREDICT, json.dumps({"instances": instances}).encode(), JSON)
    assert status == 200
    assert headers["x-model-version"] == "7"
    assert [row["probability"] for row in body["predictions"]] == offline
    labels = [sentiment.model.LABELS[p > 0.5] for p in offline]
    assert [row["label"] for row in body["predictions"]] == labels
    assert labels[:2] == ["positive", "negative"]


def test_served_equals_offline_in_any_batch_size(server, trained, imdb):
    texts = imdb["text"].iloc[1::25].tolist()
    assert len(texts) == 1000
    model = sentiment.store.load(trained.model)
    expected = sentiment.model.probabilities(model, texts)[:, 1].tolist()
    for size in (1, 7, 250):
        batches = [texts[i : i + size] for i in range(0, len(texts), size)]
        served = [row["probability"] for batch in batches for row in server.predict(batch)]
        assert served == expected


@pytest.mark.parametrize(
    "headers", [JSON, {"content-type": "application/json; charset=utf-8"}, {}, {"ce-id": "1"}]
)
def test_content_type_is_ignored(server, offline, headers):
    status, body, _ = server.ask(PREDICT, json.dumps({"instances": TEXTS}).encode(), headers)
    assert status == 200
    assert [row["probability"] for row in body["predictions"]] == offline


@needs_ipv6
def test_http_answers_by_ipv6(server):
    address = f"http://[::1]:{server.host[1]}/v2/health/live"
    with urllib.request.urlopen(address, timeout=30) as response:
        assert response.status == 200


@needs_ipv6
def test_grpc_answers_by_ipv6(server):
    by_ipv6 = replace(server, grpc=server.grpc.replace("127.0.0.1", "[::1]"))
    assert call_infer(by_ipv6, TEXTS) == grpc.StatusCode.OK


def test_loaded_model_is_ready(server):
    status, body, _ = server.ask("/v1/models/sentiment")
    assert status == 200
    assert body == {"name": "sentiment", "ready": True}


def test_requests_and_predictions_are_counted(server):
    before = server.samples()
    server.predict([TEXTS[0], TEXTS[0], TEXTS[1]])
    server.ask(PREDICT, b"{}", JSON)
    server.ask("/never/heard/of?x=1")
    increases = server.increases(before)
    route = "/v1/models/{model_name}:predict"
    assert increases["app_request_count_total", route, "POST", "200"] == 1
    assert increases["app_request_count_total", route, "POST", "400"] == 1
    assert increases["app_request_count_total", "other", "GET", "404"] == 1
    for reviews in ("more", "none"):
        assert increases["app_request_latency_seconds_count", route, reviews] == 1
        assert 0 < increases["app_request_latency_seconds_sum", route, reviews] < 60
    assert increases["model_prediction_count_total", "positive"] == 2
    assert increases["model_prediction_count_total", "negative"] == 1
    assert any(key[0].startswith("request_predict_seconds") for key in increases)  # KServe's own


def test_only_refusals_count_as_other(server):
    """Rules count the endpoint "other" as requests of callers."""
    before = server.samples()
    paths = ["/", "/page/server.js", "/page/none", "/metrics", "/openapi.json", "/v2/health/live"]
    for path in paths:
        try:
            urllib.request.urlopen(server.address + path, timeout=60).close()
        except urllib.error.HTTPError as error:
            assert (path, error.code) == ("/page/none", 404)
    counted = {
        key[1:]: value
        for key, value in server.increases(before).items()
        if key[0] == "app_request_count_total"
    }
    expected = {(path, "GET", "200"): 1 for path in paths if not path.startswith("/page/")}
    expected |= {("/page/{name}", "GET", "200"): 1, ("/page/{name}", "GET", "404"): 1}
    expected["/metrics", "GET", "200"] = 2  # and that of the samples before
    assert counted == expected


def test_unknown_paths_add_no_time_series(server):
    server.ask("/a")
    before = len(server.samples())
    for i in range(20):
        server.ask(f"/path/{i}")
        server.ask(f"/v1/models/name{i}")
    assert len(server.samples()) <= before + 4


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--model_uri", "/nowhere"],
            [": error: /nowhere/model.skops: No such file", "; --model_uri names the model"],
        ),
        (
            ["--model_uri", "models:/sentiment@champion"],
            ["no registry at mlflow.db", "train first"],
        ),
        (["--model_uri", "models:/sentiment"], ["models:/NAME@ALIAS"]),
        (["--capture", "ftp://x"], ["ftp://x: not a folder"]),
    ],
)
def test_missing_model_or_target_is_one_line(tmp_path, flags, words):
    result = start(tmp_path, *flags)
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if "serving: error: " in line]
    assert len(lines) == 1
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0]


def test_damaged_model_is_one_line(tmp_path, trained):
    (tmp_path / "model.skops").write_bytes((trained.model / "model.skops").read_bytes()[:5000])
    result = start(tmp_path, "--model_uri", str(tmp_path))
    assert result.returncode == 1
    assert "not a whole model file" in result.stderr
    assert "Traceback" not in result.stderr


def start(directory, *flags: str) -> subprocess.CompletedProcess[str]:
    ports = ("--http_port", str(free_port()), "--grpc_port", str(free_port()))
    return subprocess.run(
        [sys.executable, "-m", "serving", *ports, *flags],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPO), "HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--workers", "2"], "--workers"),
        (["--max_instances", "0"], "--max_instances: 0 is less than 1"),
        (["--max_in_flight", "few"], "--max_in_flight: 'few' is not a whole number"),
        (["--max_in_flight_bytes", "1000"], "less than --max_body_bytes"),
        (["--watch_seconds", "-1"], "--watch_seconds: -1 is not a number of seconds"),
        (["--watch_seconds", "1e300"], "--watch_seconds: 1e300 is not a number of seconds to wait"),
        (["--capture_sample", "2"], "--capture_sample: 2 is not between 0 and 1; 2% is 0.02"),
        (["--capture_sample", "5%"], "--capture_sample: 5% is not between 0 and 1; 5% is 0.05"),
        (
            ["--model_version", "7\u2013b"],
            "--model_version: '7\\u2013b' cannot be sent",
        ),
        (["--model_version", "7\nX: y"], "--model_version: '7\\nX: y' cannot be sent"),
        (["--model_control", "x"], "--model_control: invalid choice"),
    ],
)
def test_invalid_flag_is_refused(capsys, flags, words):
    with pytest.raises(SystemExit) as stopped:
        main(flags)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--http_port", "--grpc_port"])
@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_unusable_port_is_one_line(capsys, host, flag):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as occupied:
        for port in (occupied.getsockname()[1], 70_000):
            assert main([flag, str(port)]) == 1
            error = capsys.readouterr().err
            assert error.startswith(f"serving: error: {flag} {port}: ")
            assert error.endswith((": Address already in use\n", "from 0 to 65535\n"))
            assert error.count("\n") == 1
