"""Errors over gRPC: each has the status that fits, and is counted."""

import asyncio
import struct
from collections import Counter
from contextlib import AsyncExitStack

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from tests.serving import MODEL_INFER, full, grpc_tensor, serving

NO_RETRY = [("grpc.enable_retries", 0)]
REQUEST = ("app_request_count_total", MODEL_INFER, "gRPC")

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


@pytest.fixture(scope="module")
def one_slot(trained, tmp_path_factory):
    directory = tmp_path_factory.mktemp("one-slot-grpc")
    flags = ["--max_in_flight", "1"]
    with serving(trained.model, directory, *flags, module="tests.held_serving") as server:
        yield server


BARE = [{"name": "text", "shape": [1], "datatype": "BYTES"}]
INVALID, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
STATUSES = {INVALID: "400", grpc.StatusCode.NOT_FOUND: "404", EXHAUSTED: "413"}


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
        (message(inputs=inputs(shape=[1, 2])), INVALID, "shape"),
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
    increases = server.increases(before)
    assert increases["app_request_count_total", MODEL_INFER, "gRPC", "413"] == 1
    assert increases["app_request_rejected_count_total", "too_large"] == 1


def test_other_methods_refuse_with_fitting_status(server):
    other = pb.ModelReadyRequest(name="other").SerializeToString()
    assert call(server, other, "ModelReady")[0] == grpc.StatusCode.NOT_FOUND
    assert call(server, other, "ModelMetadata")[0] == grpc.StatusCode.NOT_FOUND
    assert call(server, b"\xff", "ServerLive")[0] == INVALID
    before = server.samples()
    assert call(server, b"", "Nothing")[0] == grpc.StatusCode.UNIMPLEMENTED
    assert server.increases(before)["app_request_count_total", "other", "gRPC", "404"] == 1


def test_refused_call_says_when_to_retry(one_slot):
    with full(one_slot), grpc.insecure_channel(one_slot.grpc, NO_RETRY) as channel:
        stub = GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(pb.ModelInferRequest.FromString(message()), timeout=60)
    assert caught.value.code() == EXHAUSTED
    metadata = dict(caught.value.trailing_metadata())
    assert int(metadata["grpc-retry-pushback-ms"]) >= 1000
    assert metadata["x-request-id"]


def test_streams_are_limited(one_slot):
    with grpc.insecure_channel(one_slot.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        first = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(first).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.Watch(health_pb2.HealthCheckRequest(), timeout=60))
        first.cancel()
    assert caught.value.code() == EXHAUSTED


@pytest.mark.parametrize("channels", [1, 4])
def test_each_of_many_calls_is_answered_or_refused_and_counted(server, channels):
    count, text = 4000, "a good film " * 100
    request = pb.ModelInferRequest(model_name="sentiment", inputs=[grpc_tensor([text])])
    before = server.samples()
    codes = asyncio.run(call_at_once(server, request, count, channels))
    assert set(codes) <= {grpc.StatusCode.OK, EXHAUSTED}
    assert codes.total() == count
    increases = server.increases(before)
    counted = {key[3]: value for key, value in increases.items() if key[:3] == REQUEST}
    expected = {"200": codes[grpc.StatusCode.OK], "503": codes[EXHAUSTED]}
    assert counted == {status: number for status, number in expected.items() if number}
    rejected = increases.get(("app_request_rejected_count_total", "overloaded"), 0)
    assert rejected == codes[EXHAUSTED]


async def call_at_once(server, request, count: int, channels: int) -> Counter:
    """Make all calls at the same time; return how many have each status."""
    options = [*NO_RETRY, ("grpc.use_local_subchannel_pool", 1)]
    async with AsyncExitStack() as stack:
        stubs = [
            GRPCInferenceServiceStub(
                await stack.enter_async_context(grpc.aio.insecure_channel(server.grpc, options))
            )
            for _ in range(channels)
        ]

        async def call_one(number: int) -> grpc.StatusCode:
            try:
                await stubs[number % channels].ModelInfer(request, timeout=300)
            except grpc.RpcError as error:
                return error.code()
            return grpc.StatusCode.OK

        return Counter(await asyncio.gather(*map(call_one, range(count))))
