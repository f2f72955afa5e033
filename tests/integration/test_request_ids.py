"""Every answer names its request: over v1, v2 and gRPC, of errors too."""

import json
import re
import urllib.request
import uuid

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from tests.serving import EXPLAIN, INFER, JSON, PREDICT, grpc_tensor

VERSIONED = "/v2/models/sentiment/versions/7/infer"
V1 = json.dumps({"instances": ["good"]}).encode()
VALID = ["a", "x" * 128, "A-z.0:9_", str(uuid.uuid4())]
INVALID = ["", "x" * 129, "a b", "é", "a\tb", "a,b", "a/b", '"', "🙂".encode().decode("latin-1")]


def v2(**fields) -> bytes:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}
    return json.dumps({"inputs": [tensor]} | fields).encode()


def is_new(value: str) -> bool:
    return uuid.UUID(value).version == 4


def infer(server, name: str = "", **metadata: str):
    """Call ModelInfer; return the response and the trailing metadata."""
    request = pb.ModelInferRequest(model_name="sentiment", inputs=[grpc_tensor(["good"])], id=name)
    sent = [(key.replace("_", "-"), value) for key, value in metadata.items()]
    with grpc.insecure_channel(server.grpc) as channel:
        call = GRPCInferenceServiceStub(channel).ModelInfer
        response, done = call.with_call(request, timeout=60, metadata=sent)
        return response, dict(done.trailing_metadata())


@pytest.mark.parametrize(
    ("path", "body"), [(PREDICT, V1), (EXPLAIN, V1), (INFER, v2()), (VERSIONED, v2())]
)
def test_id_of_the_caller_is_in_the_answer(server, path, body):
    for name in VALID:
        status, _, headers = server.ask(path, body, JSON | {"X-Request-Id": name})
        assert status == 200
        assert headers.get_all("x-request-id") == [name]
    for name in INVALID:
        status, _, headers = server.ask(path, body, JSON | {"x-request-id": name})
        assert status == 200
        assert is_new(headers["x-request-id"])
    ids = {server.ask(path, body, JSON)[2]["x-request-id"] for _ in range(20)}
    assert len(ids) == 20
    assert all(map(is_new, ids))


def test_cloud_event_has_the_id_too(server):
    event = {"ce-id": "1", "ce-source": "test", "ce-type": "review", "ce-specversion": "1.0"}
    for path in (PREDICT, EXPLAIN):
        _, _, headers = server.ask(path, V1, JSON | event | {"x-request-id": "mine"})
        assert headers["ce-type"] == "io.kserve.inference.response"
        assert headers["x-request-id"] == "mine"


@pytest.mark.parametrize("binary", [False, True])
def test_id_of_v2_is_used_without_a_header(server, binary):
    def ask(headers: dict, **fields) -> tuple[str, str]:
        body = v2(parameters={"binary_data_output": binary}, **fields)
        status, answer, answered = ask_binary(server, body, JSON | headers)
        assert status == 200
        return answered["x-request-id"], answer["id"]

    assert ask({}, id="abc") == ("abc", "abc")
    assert ask({"x-request-id": "mine"}, id="abc") == ("mine", "abc")
    assert ask({"x-request-id": "mine"}) == ("mine", "mine")
    header, name = ask({}, id="with space")
    assert is_new(header)
    assert name == "with space"  # v2 wants the id of the request in the response
    header, name = ask({}, id="")
    assert is_new(header)
    assert name == header


def ask_binary(server, body: bytes, headers: dict):
    """Ask over v2; return status, the JSON that precedes binary data, and headers."""
    request = urllib.request.Request(server.address + INFER, body, headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        content = response.read()
        end = int(response.headers.get("inference-header-content-length", len(content)))
        return response.status, json.loads(content[:end]), response.headers


def test_grpc_sends_the_id_as_trailing_metadata(server):
    for name in VALID:
        response, metadata = infer(server, x_request_id=name)
        assert (metadata["x-request-id"], response.id) == (name, name)
    response, metadata = infer(server, "abc")
    assert (metadata["x-request-id"], response.id) == ("abc", "abc")
    response, metadata = infer(server, "abc", x_request_id="mine")
    assert (metadata["x-request-id"], response.id) == ("mine", "abc")
    for sent in ("", "a b", "x" * 129, "with ~"):
        response, metadata = infer(server, sent, x_request_id="not, valid")
        assert is_new(metadata["x-request-id"])
        assert response.id == (sent or metadata["x-request-id"])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (PREDICT, b"{}", 400),
        (EXPLAIN, b"{}", 400),
        (INFER, b"{}", 400),
        (VERSIONED.replace("7", "8"), v2(), 404),
        ("/v1/models/other:predict", V1, 404),
        ("/v1/models/sentiment:nothing", V1, 405),
        (PREDICT, b"x" * (2**20 + 1), 413),
    ],
)
def test_errors_have_the_id(server, path, body, status):
    refused, _, headers = server.ask(path, body, JSON | {"x-request-id": "mine"})
    assert refused == status
    assert headers.get_all("x-request-id") == ["mine"]
    refused, _, headers = server.ask(path, body, JSON | {"x-request-id": "not mine"})
    assert refused == status
    assert is_new(headers["x-request-id"])


def test_errors_over_grpc_have_the_id_as_trailing_metadata(server):
    with grpc.insecure_channel(server.grpc) as channel:
        call = GRPCInferenceServiceStub(channel).ModelInfer
        for sent, expected in (("mine", "mine"), ("a b", None)):
            with pytest.raises(grpc.RpcError) as caught:
                call(pb.ModelInferRequest(), timeout=60, metadata=[("x-request-id", sent)])
            found = dict(caught.value.trailing_metadata())["x-request-id"]
            assert found == expected or (expected is None and is_new(found))
            assert re.search("one input", caught.value.details())
