"""Counts of a predictor's traffic, by a real Prometheus that scrapes a real predictor."""

import math
import shutil

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from deploy.prometheus import Prometheus
from deploy.traffic import TrafficCounter
from tests.cluster import base_service
from tests.monitoring import prometheus
from tests.serving import EXPLAIN, JSON, PREDICT, TEXTS

pytestmark = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="needs prometheus: make packages"
)


def call(server, texts: list[str]) -> grpc.StatusCode:
    contents = {"bytes_contents": [text.encode() for text in texts]}
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "contents": contents}
    with grpc.insecure_channel(server.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(pb.ServerLiveRequest(), timeout=60).live
        try:
            stub.ModelInfer(pb.ModelInferRequest(model_name="sentiment", inputs=[tensor]))
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def calls(samples: dict[tuple[str, ...], float]) -> float:
    return sum(n for key, n in samples.items() if key[0].endswith("count_total") and "gRPC" in key)


def test_each_protocol_and_size_is_counted(server, tmp_path):
    labels = {"namespace": "sentiment", "predictor": "v7", "pod": "v7-0"}
    jobs = {"sentiment": [(server.address.removeprefix("http://"), labels)]}
    with prometheus(jobs, tmp_path / "prometheus") as scraped:
        scraped.wait_for("app_request_count_total")
        counter = TrafficCounter(Prometheus(scraped.address), base_service(), "v7")
        counter.read()
        before = server.samples()
        server.predict(TEXTS[:1])
        server.predict(TEXTS)
        assert server.ask(EXPLAIN, b'{"instances": ["good"]}', JSON)[0] == 200
        server.refusal(PREDICT, b"{}", JSON)
        server.refusal("/nowhere", b"{}", JSON)
        server.ask("/v2/health/live")
        assert call(server, TEXTS[:1]) == call(server, TEXTS) == grpc.StatusCode.OK
        assert call(server, []) == grpc.StatusCode.INVALID_ARGUMENT
        after = server.samples()
        assert calls(after) == calls(before) + 6
        scraped.wait_for(f'sum(app_request_count_total{{method="gRPC"}}) == {calls(after)}')
        traffic = counter.read()["v7"]
    assert traffic.requests == 8
    assert traffic.errors == 0
    assert traffic.refusals == 3
    assert {size: latency[-1] for size, latency in traffic.latency.items()} == {
        "1": (math.inf, 3),
        "more": (math.inf, 2),
    }
