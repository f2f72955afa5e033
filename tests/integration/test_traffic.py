"""Counts of a predictor's traffic, by a real Prometheus that scrapes a real predictor."""

import math
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from deploy.errors import UndecidedError
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


TRAEFIK = (
    'traefik_service_requests_total{{code="{}",method="POST",protocol="http",service="httproute-'
    "sentiment-sentiment-gw-sentiment-sentiment-ep-web-1-6766f9d680bf654118b6-svc-sentiment-"
    'sentiment-{}-predictor-1@kubernetesgateway"}} {}\n'
)
# The form is that in envoyproxy/envoy, test/server/admin/prometheus_stats_test.cc, the counter's
# name that in envoy/upstream/host_description.h, the cluster's that in envoyproxy/gateway,
# internal/gatewayapi/testdata/httproute-attaching-to-gateway.out.yaml.
ENVOY = (
    'envoy_cluster_endpoint_rq_{}{{envoy_cluster_name="httproute/sentiment/sentiment/rule/{}",'
    'envoy_endpoint_address="{}"}} {}\n'
)


class Replayed:
    """A Prometheus that scrapes a file: a gateway's metrics; and two pods, without metrics."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        ports = {}
        for name in ("gateway", "v7", "v8"):
            (folder / name).mkdir()
            (folder / name / "metrics").touch()
            ports[name] = port = free_port()
            command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
            address = f"http://127.0.0.1:{port}/"
            stack.enter_context(running(command, address, folder / name))
        self.metrics = folder / "gateway" / "metrics"
        self.v7, self.v8 = (f"127.0.0.1:{ports[name]}" for name in ("v7", "v8"))
        labels = {"namespace": "sentiment", "predictor": "v7"}
        jobs = {
            "gateway": [(f"127.0.0.1:{ports['gateway']}", {})],
            "sentiment": [(self.v7, labels), (self.v8, labels | {"predictor": "v8"})],
        }
        self.scraped = stack.enter_context(prometheus(jobs, folder / "prometheus"))

    def counter(self, gateway: str) -> TrafficCounter:
        source = Prometheus(self.scraped.address)
        return TrafficCounter(source, base_service(), gateway, "v7", "v8")


@pytest.fixture
def replayed(tmp_path):
    with ExitStack() as stack:
        yield Replayed(tmp_path, stack)


def test_errors_of_traefik_count(replayed):
    """The series are those of a Traefik 3 with KServe's routes."""
    series = TRAEFIK.format
    replayed.metrics.write_text(series(200, "v7", 10) + series(502, "v7", 1))
    replayed.scraped.wait_for("traefik_service_requests_total")
    counter = replayed.counter("traefik")
    counter.read()
    text = series(502, "v7", 3) + series(500, "v8", 5) + series(200, "v9", 9)
    replayed.metrics.write_text(text)
    replayed.scraped.wait_for('sum(traefik_service_requests_total{code=~"5.."}) == 8')
    traffic = counter.read()
    assert traffic["v7"].errors == 2
    assert traffic["v8"].errors == 5


def test_errors_of_envoy_count_by_the_address_of_the_pod(replayed):
    """A cluster has the pods of both predictors; one that leaves the routes is no new error."""
    v7, v8 = replayed.v7, replayed.v8
    first = "".join(
        (
            ENVOY.format("total", 0, v7, 90),
            ENVOY.format("error", 0, v7, 1),
            ENVOY.format("error", 1, v7, 4),
            ENVOY.format("error", 0, "10.0.0.9:8080", 7),  # of another service
        )
    )
    replayed.metrics.write_text(first)
    replayed.scraped.wait_for("envoy_cluster_endpoint_rq_error")
    replayed.scraped.wait_for('count(up{predictor=~"v7|v8"}) == 2')
    counter = replayed.counter("envoy")
    counter.read()
    second = "".join(
        (
            ENVOY.format("total", 0, v7, 95),
            ENVOY.format("error", 0, v7, 3),
            ENVOY.format("error", 0, v8, 5),
            ENVOY.format("error", 0, "10.0.0.9:8080", 70),
        )
    )
    replayed.metrics.write_text(second)
    error = f'envoy_cluster_endpoint_rq_error{{envoy_endpoint_address="{v8}"}}'
    replayed.scraped.wait_for(error)
    traffic = counter.read()
    assert traffic["v7"].errors == 2
    assert traffic["v8"].errors == 5


def test_a_gateway_that_is_not_scraped_is_told(replayed):
    replayed.scraped.wait_for("up")
    for gateway in ("traefik", "envoy"):
        with pytest.raises(UndecidedError, match=r"Prometheus has no \w+, .* scrape the gateway\?"):
            replayed.counter(gateway).read()
    replayed.counter("").read()
