"""The real predictor process, asked over HTTP and gRPC as its callers do."""

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from prometheus_client.parser import text_string_to_metric_families

import sentiment.model
import sentiment.store
from tests.conftest import REPO, free_port, running

TEXTS = ["A wonderful film, well acted.", "Dull, bad and far too long.", "", "<br />Ünï 😀"]
PREDICT = "/v1/models/sentiment:predict"
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Server:
    address: str
    grpc: str

    def ask(self, path: str, body: bytes | None = None, headers: dict | None = None):
        """Return status, parsed body and headers."""
        request = urllib.request.Request(self.address + path, body, headers or {})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response), response.headers
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null"), error.headers

    def predict(self, instances) -> list[dict]:
        status, body, _ = self.ask(PREDICT, json.dumps({"instances": instances}).encode(), JSON)
        assert status == 200, body
        return body["predictions"]

    def samples(self) -> dict[tuple[str, ...], float]:
        with urllib.request.urlopen(f"{self.address}/metrics") as response:
            families = list(text_string_to_metric_families(response.read().decode()))
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }


@contextmanager
def serving(model: Path, directory: Path) -> Iterator[Server]:
    """Serve a model directory as version 7; what the server prints has no traceback."""
    http, grpc = free_port(), free_port()
    command = [sys.executable, "-m", "serving", "--model_uri", str(model)]
    command += ["--http_port", str(http), "--grpc_port", str(grpc), "--model_version", "7"]
    address = f"http://127.0.0.1:{http}"
    with running(command, f"{address}/v1/models/sentiment", directory, PYTHONPATH=str(REPO)) as log:
        yield Server(address, f"127.0.0.1:{grpc}")
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def server(trained, tmp_path_factory):
    with serving(trained.model, tmp_path_factory.mktemp("serving")) as server:
        yield server


@pytest.fixture(scope="module")
def offline(trained) -> list[float]:
    model = sentiment.store.load(trained.model)
    return sentiment.model.probabilities(model, TEXTS).tolist()


def test_v1_answers_are_the_models(server, offline):
    instances = [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2], {"text": TEXTS[3], "id": 5}]
    status, body, headers = server.ask(PREDICT, json.dumps({"instances": instances}).encode(), JSON)
    assert status == 200
    assert headers["x-model-version"] == "7"
    assert [row["probability"] for row in body["predictions"]] == offline
    labels = [sentiment.model.LABELS[p > 0.5] for p in offline]
    assert [row["label"] for row in body["predictions"]] == labels
    assert labels[:2] == ["positive", "negative"]


def test_served_equals_offline_on_a_thousand_reviews_alone_and_in_batches(server, trained, imdb):
    texts = imdb["text"].iloc[1::25].tolist()
    assert len(texts) == 1000
    expected = sentiment.model.probabilities(sentiment.store.load(trained.model), texts).tolist()
    for size in (1, 7, 1000):
        batches = [texts[i : i + size] for i in range(0, len(texts), size)]
        served = [row["probability"] for batch in batches for row in server.predict(batch)]
        assert served == expected


@pytest.mark.parametrize(
    "headers", [JSON, {"content-type": "application/json; charset=utf-8"}, {}, {"ce-id": "1"}]
)
def test_a_good_body_is_understood_whatever_its_type_is_called(server, offline, headers):
    status, body, _ = server.ask(PREDICT, json.dumps({"instances": TEXTS}).encode(), headers)
    assert status == 200
    assert [row["probability"] for row in body["predictions"]] == offline


@pytest.mark.parametrize("headers", [JSON, {}])
@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", ""),
        (b"{", ""),
        (b"\xff\xfe", ""),
        (b"null", "null"),
        (b"7", "number"),
        (b'"text"', "string"),
        (b"[]", "array"),
        (b"{}", "instances"),
        (b'{"instances": "text"}', "instances"),
        (b'{"instances": {}}', "instances"),
        (b'{"instances": []}', "instances"),
        (b'{"instances": ["good", 5]}', "instances[1]"),
        (b'{"instances": [null]}', "instances[0]"),
        (b'{"instances": [{"body": "good"}]}', "instances[0]"),
        (b'{"instances": [{"text": ["good"]}]}', "instances[0]"),
        (b'{"instances": ["\\ud800"]}', ""),
        (b"[" * 10_000, ""),
    ],
)
def test_a_bad_request_is_a_400_with_the_reason(server, headers, body, word):
    status, answer, _ = server.ask(PREDICT, body, headers)
    assert status == 400
    assert word in answer["error"]


def test_an_unknown_model_is_a_404(server):
    assert server.ask("/v1/models/other:predict", b'{"instances": ["x"]}', JSON)[0] == 404
    assert server.ask("/v1/models/other")[0] == 404


def test_ready_means_loaded(server):
    assert server.ask("/v1/models/sentiment")[:2] == (200, {"name": "sentiment", "ready": True})


def test_the_three_metrics_count_what_happened(server):
    before = server.samples()
    server.predict([TEXTS[0], TEXTS[0], TEXTS[1]])
    server.ask(PREDICT, b"{}", JSON)
    server.ask("/never/heard/of?x=1")
    after = server.samples()
    gained = {key: after[key] - before.get(key, 0) for key in after}
    route = "/v1/models/{model_name}:predict"
    assert gained["app_request_count_total", route, "POST"] == 2
    assert gained["app_request_count_total", "other", "GET"] == 1
    assert gained["app_request_latency_seconds_count", route] == 2
    assert 0 < gained["app_request_latency_seconds_sum", route] < 60
    assert gained["model_prediction_count_total", "positive"] == 2
    assert gained["model_prediction_count_total", "negative"] == 1
    assert any(key[0].startswith("request_predict_seconds") for key in after)  # KServe's own


def test_callers_cannot_grow_the_number_of_time_series(server):
    server.ask("/a")
    before = len(server.samples())
    for i in range(20):
        server.ask(f"/path/{i}")
        server.ask(f"/v1/models/name{i}")
    assert len(server.samples()) <= before + 4


def test_kserves_rest_client_v2(server, offline):
    async def ask():
        client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
        tensor = InferInput("text", [len(TEXTS)], "BYTES")
        tensor.set_data_from_numpy(np.array(TEXTS, dtype=object), binary_data=False)
        request = InferRequest("sentiment", [tensor], request_id="abc")
        return await client.infer(server.address, request, model_name="sentiment")

    response = asyncio.run(ask())
    outputs = {output.name: output.data for output in response.outputs}
    assert outputs["probability"] == offline
    assert response.id == "abc"


def test_kserves_grpc_client_v2(server, offline):
    async def ask():
        client = InferenceGRPCClient(server.grpc, retries=0)
        tensor = InferInput("text", [len(TEXTS)], "BYTES", [text.encode() for text in TEXTS])
        response = await client.infer(InferRequest("sentiment", [tensor], request_id="abc"))
        await client.close()
        return response

    response = asyncio.run(ask())
    outputs = {output.name: output.as_numpy().tolist() for output in response.outputs}
    assert outputs["probability"] == offline


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["one"]}],
        [{"name": "other", "shape": [1], "datatype": "BYTES", "data": ["one"]}],
        [{"name": "text", "shape": [1], "datatype": "INT32", "data": [1]}],
        [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [1]}],
        [{"name": "text", "shape": [0], "datatype": "BYTES", "data": []}],
    ],
)
def test_v2_refuses_what_it_cannot_read(server, inputs):
    body = json.dumps({"inputs": inputs}).encode()
    status, answer, _ = server.ask("/v2/models/sentiment/infer", body, JSON)
    assert status in (400, 422)
    assert answer


def test_v2_metadata_has_the_real_types(server):
    _, body, _ = server.ask("/v2/models/sentiment")
    assert [tensor["name"] for tensor in body["inputs"]] == ["text"]
    assert [tensor["name"] for tensor in body["outputs"]] == ["label", "probability"]


def test_v2_names_the_version_and_fills_in_a_missing_id(server):
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}
    body = json.dumps({"inputs": [tensor]}).encode()
    status, answer, headers = server.ask("/v2/models/sentiment/infer", body, JSON)
    assert status == 200
    assert (answer["model_version"], headers["x-model-version"]) == ("7", "7")
    assert answer["id"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model_uri", "/nowhere"], ["/nowhere", "No such file"]),
        (
            ["--model_uri", "models:/sentiment@champion"],
            ["no registry at mlflow.db", "train first"],
        ),
        (["--model_uri", "models:/sentiment"], ["models:/NAME@ALIAS"]),
    ],
)
def test_a_missing_model_is_one_line(tmp_path, flags, words):
    result = start(tmp_path, *flags)
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if "serving: error: " in line]
    assert len(lines) == 1
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0]


def test_a_damaged_model_is_one_line(tmp_path, trained):
    (tmp_path / "model.skops").write_bytes((trained.model / "model.skops").read_bytes()[:5000])
    result = start(tmp_path, "--model_uri", str(tmp_path))
    assert result.returncode == 1
    assert "not a whole model file" in result.stderr
    assert "Traceback" not in result.stderr


def test_more_than_one_worker_is_refused(tmp_path):
    result = start(tmp_path, "--workers", "2")
    assert result.returncode == 2
    assert "--workers" in result.stderr


def start(directory, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serving", *flags],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPO), "HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=120,
    )
