"""v1, v2 and gRPC with KServe's own clients and curl."""

import asyncio
import json
import subprocess

import grpc
import numpy as np
import pytest
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from kserve.protocol.infer_type import RequestedOutput

import sentiment.model
import sentiment.store
from tests.serving import EXPLAIN, INFER, JSON, MODEL_INFER, PREDICT, TEXTS


@pytest.fixture(scope="module")
def batch(imdb) -> list[str]:
    """As many different reviews as a request may have."""
    return imdb["text"].drop_duplicates().iloc[7::90].tolist()[:256]


@pytest.fixture(scope="module")
def expected(trained, batch) -> list[float]:
    assert len(batch) == 256
    model = sentiment.store.load(trained.model)
    probabilities = sentiment.model.probabilities(model, batch)[:, 1].tolist()
    assert len(set(probabilities)) > 250  # so that a wrong order is noticed
    return probabilities


def labels(probabilities: list[float]) -> list[str]:
    return [sentiment.model.LABELS[p > 0.5] for p in probabilities]


def all_outputs(probabilities: list[float]) -> dict[str, list]:
    """Return the outputs of v2 for the probabilities of *positive*."""
    both = [[1 - p, p] for p in probabilities]
    return {"label": labels(probabilities), "probabilities": both, "probability": probabilities}


def rest(server, protocol: str, request, headers: dict | None = None):
    async def ask():
        client = InferenceRESTClient(RESTConfig(protocol=protocol, retries=0))
        return await client.infer(
            server.address, request, model_name="sentiment", response_headers=headers
        )

    return asyncio.run(ask())


def over_grpc(server, request: InferRequest):
    async def ask():
        async with InferenceGRPCClient(server.grpc, retries=0) as client:
            return await client.infer(request)

    return asyncio.run(ask())


def tensor(texts: list[str], binary: bool) -> InferInput:
    tensor = InferInput("text", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=object), binary_data=binary)
    return tensor


def outputs(response) -> dict[str, list]:
    outputs = {output.name: output.as_numpy().tolist() for output in response.outputs}
    for name, values in outputs.items():
        outputs[name] = [v.decode() if isinstance(v, bytes) else v for v in values]
    return outputs


def test_rest_client_predicts_over_v1(server, batch, expected):
    headers: dict[str, str] = {}
    answer = rest(server, "v1", {"instances": batch}, headers)
    assert [row["probability"] for row in answer["predictions"]] == expected
    assert [row["label"] for row in answer["predictions"]] == labels(expected)
    assert headers["x-model-version"] == "7"


@pytest.mark.parametrize("binary_output", [False, True])
@pytest.mark.parametrize("binary_input", [False, True])
def test_rest_client_predicts_over_v2(server, batch, expected, binary_input, binary_output):
    request = InferRequest(
        "sentiment",
        [tensor(batch, binary_input)],
        request_id="abc",
        parameters={"binary_data_output": binary_output},
    )
    headers: dict[str, str] = {}
    response = rest(server, "v2", request, headers)
    assert ("inference-header-content-length" in headers) == binary_output
    assert outputs(response) == all_outputs(expected)
    assert response.id == "abc"
    assert response.model_name == "sentiment"


@pytest.mark.parametrize("binary", [False, True])
def test_v2_returns_the_requested_outputs(server, offline, binary):
    requested = [RequestedOutput("probability", {"binary_data": binary})]
    request = InferRequest("sentiment", [tensor(TEXTS, False)], request_outputs=requested)
    headers: dict[str, str] = {}
    assert outputs(rest(server, "v2", request, headers)) == {"probability": offline}
    assert ("inference-header-content-length" in headers) == binary
    assert outputs(over_grpc(server, request)) == {"probability": offline}


@pytest.mark.parametrize("raw", [False, True])
def test_grpc_client_predicts_over_v2(server, batch, expected, raw):
    data = tensor(batch, True)
    if not raw:
        data = InferInput("text", [len(batch)], "BYTES", [text.encode() for text in batch])
    response = over_grpc(server, InferRequest("sentiment", [data], request_id="abc"))
    assert outputs(response) == all_outputs(expected)
    assert response.id == "abc"
    assert response.model_version == "7"


ROUTES = {
    "v1": ("/v1/models/{model_name}:predict", "POST"),
    "explain": ("/v1/models/{model_name}:explain", "POST"),
    "v2": ("/v2/models/{model_name}/infer", "POST"),
    "grpc": (MODEL_INFER, "gRPC"),
}


@pytest.mark.parametrize("protocol", ROUTES)
def test_latency_is_measured_by_number_of_reviews(server, protocol):
    endpoint, method = ROUTES[protocol]
    for texts, reviews in ((TEXTS[:1], "1"), (TEXTS[:2], "more"), (TEXTS, "more")):
        before = server.samples()
        if protocol == "grpc":
            over_grpc(server, InferRequest("sentiment", [tensor(texts, True)]))
        else:
            data = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
            body = {"inputs": [data]} if protocol == "v2" else {"instances": texts}
            path = {"v1": PREDICT, "explain": EXPLAIN, "v2": INFER}[protocol]
            assert server.ask(path, json.dumps(body).encode(), JSON)[0] == 200
        increases = server.increases(before)
        assert increases["app_request_count_total", endpoint, method, "200"] == 1
        timed = {
            key: increases[key] for key in increases if endpoint in key and "_seconds_" in key[0]
        }
        assert timed.pop(("app_request_latency_seconds_count", endpoint, reviews)) == 1
        assert 0 < timed.pop(("app_request_latency_seconds_sum", endpoint, reviews)) < 60
        assert {key[-1] for key in timed} == {reviews}


def test_clients_find_server_live_and_model_ready(server):
    async def ask():
        v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
        v2 = InferenceRESTClient(RESTConfig(protocol="v2"))
        async with InferenceGRPCClient(server.grpc) as client:
            return await asyncio.gather(
                v1.is_model_ready(server.address, "sentiment"),
                v2.is_server_live(server.address),
                v2.is_server_ready(server.address),
                v2.is_model_ready(server.address, "sentiment"),
                client.is_server_live(),
                client.is_server_ready(),
                client.is_model_ready("sentiment"),
            )

    assert asyncio.run(ask()) == [True] * 7


def test_metadata_shows_types_over_rest_and_grpc(server):
    inputs = [("text", "BYTES", [-1])]
    results = [("label", "BYTES", [-1]), ("probability", "FP64", [-1])]
    results.append(("probabilities", "FP64", [-1, 2]))
    _, body, _ = server.ask("/v2/models/sentiment")
    assert [(t["name"], t["datatype"], t["shape"]) for t in body["inputs"]] == inputs
    assert [(t["name"], t["datatype"], t["shape"]) for t in body["outputs"]] == results
    assert body["versions"] == ["7"]
    assert body["outputs"][2]["parameters"] == {"classes": ["negative", "positive"]}
    with grpc.insecure_channel(server.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        answer = stub.ModelMetadata(pb.ModelMetadataRequest(name="sentiment"), timeout=30)
    assert [(t.name, t.datatype, list(t.shape)) for t in answer.inputs] == inputs
    assert [(t.name, t.datatype, list(t.shape)) for t in answer.outputs] == results


def test_v2_response_has_version_and_id(server):
    body = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}]}
    status, answer, headers = server.ask(INFER, json.dumps(body).encode(), JSON)
    assert status == 200
    assert answer["model_version"] == "7"
    assert headers["x-model-version"] == "7"
    assert answer["id"]
    assert over_grpc(server, InferRequest("sentiment", [tensor(TEXTS, False)])).id


def test_path_may_name_the_served_version(server):
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}
    body = json.dumps({"inputs": [tensor]}).encode()
    for version, expected in (("7", 200), ("8", 404)):
        path = f"/v2/models/sentiment/versions/{version}"
        assert server.ask(path)[0] == expected
        assert server.ask(f"{path}/ready")[0] == expected
        status, answer, _ = server.ask(f"{path}/infer", body, JSON)
        assert status == expected, answer


CURL = ["curl", "--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}"]


def curl(server, path: str, body: dict, *options: str):
    """Send a body with curl's default content type."""
    result = subprocess.run(
        [*CURL, *options, "--data-binary", "@-", server.address + path],
        input=json.dumps(body),
        capture_output=True,
        text=True,
        check=True,
    )
    answer, _, status = result.stdout.rpartition("\n")
    assert status == "200", result.stdout
    return json.loads(answer)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--header", "Content-Type: application/json; charset=utf-8"],
        ["--header", "Content-Type:"],
        ["--header", "Transfer-Encoding: chunked"],
        ["--header", "Expect: 100-continue"],
        ["--http1.0"],
    ],
)
def test_curl_predicts_over_v1_and_v2(server, batch, expected, options):
    answer = curl(server, PREDICT, {"instances": batch}, *options)
    assert [row["probability"] for row in answer["predictions"]] == expected
    tensor = {"name": "text", "shape": [len(batch)], "datatype": "BYTES", "data": batch}
    answer = curl(server, INFER, {"inputs": [tensor]}, *options)
    assert answer["outputs"][1]["data"] == expected


def test_cloud_event_is_answered_by_one(server, offline):
    attributes = {"specversion": "1.0", "source": "test", "type": "review", "id": "1"}
    headers = JSON | {f"ce-{name}": value for name, value in attributes.items()}
    data = {"instances": TEXTS}
    status, answer, response_headers = server.ask(PREDICT, json.dumps(data).encode(), headers)
    assert status == 200
    assert response_headers["ce-type"] == "io.kserve.inference.response"
    assert [row["probability"] for row in answer["predictions"]] == offline
    event = attributes | {"time": "2026-01-01T00:00:00Z", "data": data}
    headers = {"content-type": "application/cloudevents+json"}
    status, answer, _ = server.ask(PREDICT, json.dumps(event).encode(), headers)
    assert status == 200
    assert [row["probability"] for row in answer["data"]["predictions"]] == offline
