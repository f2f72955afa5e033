"""Counts of a predictor's traffic, by a real Prometheus that scrapes a real predictor."""

import math
import shutil
import sys
from contextlib import ExitStack

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from deploy.prometheus import Prometheus
from deploy.traffic import TrafficCounter
from tests.cluster import base_service
from tests.conftest import free_port, running
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
        counter = TrafficCounter(Prometheus(scraped.address), base_service(), "", "v7")
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


SERIES = (
    'traefik_service_requests_total{{code="{}",method="POST",protocol="http",service="httproute-'
    "sentiment-sentiment-gw-sentiment-sentiment-ep-web-1-6766f9d680bf654118b6-svc-sentiment-"
    'sentiment-{}-predictor-1@kubernetesgateway"}} {}\n'
)


def test_errors_of_the_gateway_count(tmp_path):
    """The series are those of a Traefik 3 with KServe's routes; a file server replays them."""
    (tmp_path / "metrics").write_text(SERIES.format(200, "v7", 10) + SERIES.format(502, "v7", 1))
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with ExitStack() as stack:
        stack.enter_context(running(command, f"http://127.0.0.1:{port}/", tmp_path))
        jobs = {"traefik": [(f"127.0.0.1:{port}", {})]}
        scraped = stack.enter_context(prometheus(jobs, tmp_path / "prometheus"))
        scraped.wait_for("traefik_service_requests_total")
        source = Prometheus(scraped.address)
        counter = TrafficCounter(source, base_service(), "traefik", "v7", "v8")
        counter.read()
        text = (
            SERIES.format(502, "v7", 3) + SERIES.format(500, "v8", 5) + SERIES.format(200, "v9", 9)
        )
        (tmp_path / "metrics").write_text(text)
        scraped.wait_for('sum(traefik_service_requests_total{code=~"5.."}) == 8')
        traffic = counter.read()
    assert (traffic["v7"].errors, traffic["v8"].errors) == (2, 5)
