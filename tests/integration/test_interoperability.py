"""Clients of other servers, and details of the protocols that they rely on."""

import asyncio
import json
import urllib.request

import grpc
import pytest
from kserve import InferenceRESTClient, RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from tests.serving import INFER, JSON, PREDICT, TEXTS, serving

EVENT = {"content-type": "application/cloudevents+json"}
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
NOT_FOUND, INVALID = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT


def tensor(shape: list, texts: list[str]) -> dict:
    # as MLServer's StringCodec encodes a list of strings
    parameters = {"content_type": "str"}
    return {"name": "text", "shape": shape, "datatype": "BYTES"} | {"parameters": parameters}


def infer(server, shape: list, texts: list[str], **more):
    body = {"inputs": [tensor(shape, texts) | {"data": texts}], **more}
    return server.ask(INFER, json.dumps(body).encode(), JSON)


def call(server, method: str, request):
    """Return the answer of a gRPC method, or the status of its refusal."""
    with grpc.insecure_channel(server.grpc) as channel:
        try:
            return getattr(GRPCInferenceServiceStub(channel), method)(request, timeout=60)
        except grpc.RpcError as error:
            return error.code()


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:1]])
def test_column_is_taken_as_a_vector(server, texts):
    vector, column = [len(texts)], [len(texts), 1]
    _, expected, _ = infer(server, vector, texts, id="same")
    status, answer, _ = infer(server, column, texts, id="same")
    assert status == 200
    assert answer == expected
    assert answer["outputs"][0]["shape"] == vector


@pytest.mark.parametrize(
    "shape", [[1, 4], [4, 1, 1], [4, 2], [5, 1], [4, True], [4, 1.0], ["4", 1], [[4], 1], []]
)
def test_other_shapes_are_refused(server, shape):
    status, answer, _ = infer(server, shape, TEXTS)
    assert status == 400
    assert "[4]" in answer["error"]
    assert "[4, 1]" in answer["error"]


def test_column_is_taken_over_grpc(server, offline):
    contents = {"bytes_contents": [text.encode() for text in TEXTS]}
    sent = {"name": "text", "datatype": "BYTES", "contents": contents, "shape": [4, 1]}
    request = pb.ModelInferRequest(model_name="sentiment", inputs=[sent])
    answer = call(server, "ModelInfer", request)
    assert [list(output.shape) for output in answer.outputs] == [[4], [4], [4, 2]]
    assert list(answer.outputs[1].contents.fp64_contents) == offline
    request.inputs[0].shape[:] = [1, 4]
    assert call(server, "ModelInfer", request) == INVALID


def test_every_grpc_call_honours_the_version(server):
    contents = {"bytes_contents": [b"good"]}
    inputs = [{"name": "text", "datatype": "BYTES", "contents": contents, "shape": [1]}]
    for version, found in (("", True), ("7", True), ("99", False)):
        infer = pb.ModelInferRequest(model_name="sentiment", model_version=version, inputs=inputs)
        ready = pb.ModelReadyRequest(name="sentiment", version=version)
        metadata = pb.ModelMetadataRequest(name="sentiment", version=version)
        answers = [
            call(server, "ModelInfer", infer),
            call(server, "ModelReady", ready),
            call(server, "ModelMetadata", metadata),
        ]
        if not found:
            assert answers == [NOT_FOUND] * 3
            continue
        assert answers[0].model_version == "7"
        assert answers[1].ready
        assert list(answers[2].versions) == ["7"]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (BROWSER, "text/html; charset=utf-8"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        (None, "application/json"),
    ],
)
def test_root_answers_browsers_and_clients(server, accept, media_type):
    headers = {"accept": accept} if accept else {}
    request = urllib.request.Request(f"{server.address}/", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.headers["content-type"] == media_type
        assert response.headers["vary"] == "accept"
        body = response.read()
    assert body.startswith(b"<!") if "html" in media_type else json.loads(body)["status"] == "alive"


def test_kserves_client_finds_the_server_live_over_v1(server):
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert asyncio.run(client.is_server_live(server.address))


@pytest.mark.parametrize("binary", [True, False])
def test_answer_has_the_type_of_its_content(server, binary):
    body = {"inputs": [tensor([1], ["x"]) | {"data": ["x"]}]}
    body["parameters"] = {"binary_data_output": binary}
    request = urllib.request.Request(server.address + INFER, json.dumps(body).encode(), JSON)
    with urllib.request.urlopen(request, timeout=60) as response:
        kind = "application/octet-stream" if binary else "application/json"
        assert response.headers["content-type"] == kind
        assert ("inference-header-content-length" in response.headers) is binary


def test_server_names_its_extensions(server, trained, tmp_path):
    expected = ["binary_tensor_data"]
    for flags in ([], ["--model_control", "explicit"]):
        with serving(trained.model, tmp_path, *flags) as other:
            assert other.ask("/v2")[1]["extensions"] == expected
            metadata = call(other, "ServerMetadata", pb.ServerMetadataRequest())
            assert list(metadata.extensions) == expected
        expected = [*expected, "model_repository_extension"]


ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
DATA = {"data": {"instances": TEXTS}}


@pytest.mark.parametrize(
    "content_type",
    ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=utf-8"],
)
def test_event_without_optional_attributes_is_answered_by_one(server, offline, content_type):
    body = json.dumps(ATTRIBUTES | DATA).encode()
    status, answer, headers = server.ask(PREDICT, body, {"content-type": content_type})
    assert status == 200, answer
    assert headers["content-type"] == EVENT["content-type"]
    assert answer["type"] == "io.kserve.inference.response"
    assert [row["probability"] for row in answer["data"]["predictions"]] == offline


@pytest.mark.parametrize("name", [*ATTRIBUTES, "data"])
def test_event_without_a_required_attribute_is_refused(server, name):
    event = ATTRIBUTES | DATA
    del event[name]
    status, reason = server.refusal(PREDICT, json.dumps(event).encode(), EVENT)
    assert (status, reason) == (400, f'the CloudEvent has no "{name}"')


@pytest.mark.parametrize("name", ["id", "source", "type"])
def test_binary_event_without_a_required_header_is_refused(server, name):
    headers = {f"ce-{key}": value for key, value in ATTRIBUTES.items() if key != name}
    body = json.dumps(DATA["data"]).encode()
    status, reason = server.refusal(PREDICT, body, JSON | headers)
    assert (status, reason) == (400, f"the CloudEvent has no header ce-{name}")


@pytest.mark.parametrize(
    "changes", [{"id": 1}, {"source": ""}, {"type": None}, {"specversion": "2.0"}, {"data": "x"}]
)
def test_event_with_a_wrong_attribute_is_refused(server, changes):
    event = ATTRIBUTES | DATA | changes
    assert server.refusal(PREDICT, json.dumps(event).encode(), EVENT)[0] == 400


@pytest.mark.parametrize("binary", [True, False])
def test_attributes_of_an_event_without_time_are_merged(trained, tmp_path, binary):
    """KServe removes id and time from the attributes that it copies into its answer."""
    body, headers = ATTRIBUTES | {"mark": "x"} | DATA, EVENT
    if binary:
        headers = JSON | {f"ce-{key}": value for key, value in ATTRIBUTES.items()}
        headers, body = headers | {"ce-mark": "x"}, DATA["data"]
    with serving(trained.model, tmp_path, CE_MERGE="true") as server:
        status, answer, received = server.ask(PREDICT, json.dumps(body).encode(), headers)
    assert status == 200, answer
    assert (received["ce-mark"] if binary else answer["mark"]) == "x"
