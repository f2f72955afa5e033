"""grpc.health.v1, reflection and readiness: with a model, without, and at the end."""

import signal
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from tests.serving import JSON, PREDICT, call_infer, serving

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
INFERENCE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
READY = ["/v2/health/ready", "/v1/models/sentiment", "/v2/models/sentiment/ready"]


def health(channel, service: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=60).status


def watch(channel, service: str = ""):
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Watch(request, timeout=120)


@pytest.mark.parametrize("service", ["", INFERENCE])
def test_ready_server_is_healthy(server, service):
    with grpc.insecure_channel(server.grpc) as channel:
        assert health(channel, service) == SERVING


def test_health_of_an_unknown_service_is_not_found(server):
    before = server.samples()
    with grpc.insecure_channel(server.grpc) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            health(channel, "other")
        stream = watch(channel, "other")
        assert next(stream).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        stream.cancel()
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert INFERENCE in caught.value.details()
    increases = server.increases(before)
    assert increases["app_request_count_total", f"/{HEALTH}/Check", "gRPC", "404"] == 1


def test_reflection_lists_and_describes_the_services(server):
    with grpc.insecure_channel(server.grpc) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        assert {INFERENCE, HEALTH} <= services
        file = database.FindFileContainingSymbol(INFERENCE)
    assert "ModelInferRequest" in [each.name for each in file.message_type]


def test_server_without_model_is_not_ready(trained, tmp_path):
    with (
        serving(trained.model, tmp_path, "--model_control", "explicit") as server,
        grpc.insecure_channel(server.grpc) as channel,
    ):
        stub = GRPCInferenceServiceStub(channel)
        first, second = watch(channel), watch(channel, INFERENCE)
        for ready in (True, False, True):
            if not ready:
                stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="sentiment"))
                first.cancel()  # the others still hear of it
            elif next(second).status == NOT_SERVING:
                answer = stub.RepositoryModelLoad(
                    pb.RepositoryModelLoadRequest(model_name="sentiment")
                )
                assert answer.isLoaded
                assert next(second).status == SERVING
            for path in READY:
                assert server.ask(path)[0] == (200 if ready else 503), path
            assert server.ask("/v2/health/live")[0] == 200
            assert stub.ServerReady(pb.ServerReadyRequest(), timeout=60).ready is ready
            request = pb.ModelReadyRequest(name="sentiment")
            assert stub.ModelReady(request, timeout=60).ready is ready
            assert health(channel) == (SERVING if ready else NOT_SERVING)
            status, _, headers = server.ask(PREDICT, b'{"instances": ["x"]}', JSON)
            assert status == (200 if ready else 503)
            assert ("retry-after" in headers) is not ready
            expected = grpc.StatusCode.OK if ready else grpc.StatusCode.UNAVAILABLE
            assert call_infer(server, ["x"]) == expected


def test_ending_server_is_unhealthy_and_waits_for_no_stream(trained, tmp_path):
    leave = threading.Event()

    def requests():
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        leave.wait(60)  # the client keeps the stream open

    with (
        serving(trained.model, tmp_path) as server,
        grpc.insecure_channel(server.grpc) as channel,
    ):
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        open_stream = reflection.ServerReflectionInfo(requests())
        assert next(open_stream).list_services_response.service
        stream = watch(channel)
        assert next(stream).status == SERVING
        process = server.process()
        process.send_signal(signal.SIGTERM)
        assert [each.status for each in stream] == [NOT_SERVING]
        process.wait(15)  # of the 30 seconds that calls have
        leave.set()
