"""Errors over gRPC: each has the status that fits, and is counted."""

import struct

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.serving import MODEL_INFER

GOOD = struct.pack("<I", 4) + b"good"


def call(server, message: bytes, method: str = "ModelInfer") -> tuple[grpc.StatusCode, str]:
    """Send bytes as a gRPC message; return the status and the details of a refusal."""
    with grpc.insecure_channel(server.grpc) as channel:
        send = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        with pytest.raises(grpc.RpcError) as caught:
            send(message, timeout=60)
    return caught.value.code(), caught.value.details()


def message(**changes) -> bytes:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES"}
    contents = {"contents": {"bytes_contents": [b"good"]}}
    fields = {"model_name": "sentiment", "inputs": [tensor | contents]}
    return pb.ModelInferRequest(**(fields | changes)).SerializeToString()


def inputs(**changes) -> list[dict]:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES"}
    return [tensor | {"contents": {"bytes_contents": [b"good"]}} | changes]


BARE = [{"name": "text", "shape": [1], "datatype": "BYTES"}]
INVALID, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
STATUSES = {INVALID: "400", grpc.StatusCode.NOT_FOUND: "404", EXHAUSTED: "429"}


@pytest.mark.parametrize(
    ("sent", "code", "word"),
    [
        (b"\xff\xff\xff", INVALID, "type"),
        (b"", INVALID, "one input"),
        (message(inputs=[]), INVALID, "one input"),
        (message(inputs=inputs() * 2), INVALID, "one input"),
        (message(inputs=inputs() * 20_000), INVALID, "one input"),
        (message(inputs=inputs(name="other")), INVALID, "BYTES"),
        (message(inputs=inputs(datatype="FP32")), INVALID, "BYTES"),
        (message(inputs=inputs(datatype="NONE")), INVALID, "BYTES"),
        (message(inputs=inputs(shape=[-1])), INVALID, "shape"),
        (message(inputs=inputs(shape=[2**62])), INVALID, "shape"),
        (message(inputs=inputs(shape=[])), INVALID, "shape"),
        (message(inputs=inputs(shape=[1, 1])), INVALID, "shape"),
        (message(inputs=inputs(contents={})), INVALID, "one value"),
        (message(inputs=inputs(contents={"int_contents": [1]})), INVALID, "one value"),
        (message(inputs=inputs(contents={"bytes_contents": [b"\xff"]})), INVALID, "UTF-8"),
        (message(raw_input_contents=[GOOD]), INVALID, "once"),
        (message(inputs=BARE, raw_input_contents=[GOOD, GOOD]), INVALID, "once"),
        (message(inputs=BARE, raw_input_contents=[GOOD[:5]]), INVALID, "within a value"),
        (message(inputs=BARE, raw_input_contents=[b"\xff" * 4]), INVALID, "within a value"),
        (message(outputs=[{"name": "loss"}]), INVALID, "label, probabilities, probability"),
        (message(outputs=[{"name": "label"}] * 2), INVALID, "once"),
        (message(model_name="other"), grpc.StatusCode.NOT_FOUND, "other"),
        (message(model_name=""), grpc.StatusCode.NOT_FOUND, "does not exist"),
        (message(model_version="8"), grpc.StatusCode.NOT_FOUND, "version 8"),
        (message(inputs=BARE, raw_input_contents=[bytes(4 * 257)]), EXHAUSTED, "256 reviews"),
        (
            message(inputs=inputs(contents={"bytes_contents": [b""] * 100_000})),
            EXHAUSTED,
            "256 reviews",
        ),
        (
            message(inputs=inputs(contents={"bytes_contents": [b"x" * 100_001]})),
            EXHAUSTED,
            "100000 characters",
        ),
    ],
)
def test_refused_call_has_status_and_is_counted(server, sent, code, word):
    before = server.samples()
    refused, details = call(server, sent)
    assert refused == code, details
    assert word in details
    increases = server.increases(before)
    requests = {
        key[1:]: value for key, value in increases.items() if key[0] == "app_request_count_total"
    }
    requests = {key: value for key, value in requests.items() if "gRPC" in key}
    assert requests == {(MODEL_INFER, "gRPC", STATUSES[code]): 1}
    assert increases["app_request_latency_seconds_count", MODEL_INFER, "none"] == 1


def test_grpc_itself_refuses_too_large_messages(server):
    before = server.samples()
    refused, details = call(server, message(id="x" * 2**20))
    assert refused == EXHAUSTED
    assert "larger than max" in details
    assert not [key for key in server.increases(before) if "gRPC" in key]


def test_other_methods_refuse_with_fitting_status(server):
    other = pb.ModelReadyRequest(name="other").SerializeToString()
    assert call(server, other, "ModelReady")[0] == grpc.StatusCode.NOT_FOUND
    assert call(server, other, "ModelMetadata")[0] == grpc.StatusCode.NOT_FOUND
    assert call(server, b"\xff", "ServerLive")[0] == INVALID
    assert call(server, b"", "Nothing")[0] == grpc.StatusCode.UNIMPLEMENTED
