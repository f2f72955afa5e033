"""What a deployment counts of a predictor, by a real Prometheus that scrapes a real one."""

import math
import shutil

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from deploy.prometheus import Prometheus
from deploy.traffic import Tally
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


def test_requests_are_tallied_over_each_protocol_and_by_their_reviews(server, tmp_path):
    labels = {"namespace": "sentiment", "predictor": "v7", "pod": "v7-0"}
    jobs = {"sentiment": [(server.address.removeprefix("http://"), labels)]}
    with prometheus(jobs, tmp_path / "prometheus") as asked:
        asked.wait_for("app_request_count_total")
        tally = Tally(Prometheus(asked.address), "v7")
        tally.look()
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
        asked.wait_for(f'sum(app_request_count_total{{method="gRPC"}}) == {calls(after)}')
        seen = tally.look()["v7"]
    assert (seen.requests, seen.errors, seen.refusals) == (8, 0, 3)
    assert {size: latency[-1] for size, latency in seen.latency.items()} == {
        "1": (math.inf, 3),
        "more": (math.inf, 2),
    }
