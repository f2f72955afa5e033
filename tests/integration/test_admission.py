"""More callers than there are places, callers of every pace, and the end under load."""

import http.client
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from serving.limits import RequestLimits
from tests.serving import INFER, JSON, MODEL_INFER, PREDICT, TEXTS, answer, head, serving

PROBES = ["/v2/health/live", "/v2/health/ready", "/v1/models/sentiment", "/v2/models/sentiment"]
SMALL = json.dumps({"instances": ["good"]}).encode()


@pytest.fixture(scope="module")
def narrow(trained, tmp_path_factory):
    """A server with one place."""
    directory = tmp_path_factory.mktemp("narrow")
    with serving(trained.model, directory, "--max_in_flight", "1") as server:
        yield server


@contextmanager
def stalled(server, count: int, size: int):
    """Hold places by senders who stop halfway."""
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(server.connect())
            connection.sendall(head(PREDICT, size) + b" " * (size // 2))
        server.wait_for_in_flight(count)
        yield
    server.wait_for_in_flight(0)


def large(size: int = 100_000) -> bytes:
    return SMALL + b" " * (size - len(SMALL))


def tensor(texts: list[str]) -> dict:
    contents = {"bytes_contents": [text.encode() for text in texts]}
    return {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "contents": contents}


def infer(server, texts: list[str], padding: int = 0) -> grpc.StatusCode:
    request = pb.ModelInferRequest(model_name="sentiment", inputs=[tensor(texts)], id="x" * padding)
    with grpc.insecure_channel(server.grpc, [("grpc.enable_retries", 0)]) as channel:
        try:
            GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_whom_there_is_no_place_for_is_told_when_to_come_back(narrow):
    before = narrow.samples()
    with stalled(narrow, 1, 100_000):
        for path, body in ((PREDICT, SMALL), (INFER, SMALL), (PREDICT, large())):
            status, said, headers = narrow.ask(path, body, JSON)
            assert (status, headers["retry-after"]) == (503, "1")
            assert "in flight" in said["error"]
        assert infer(narrow, ["good"]) == grpc.StatusCode.UNAVAILABLE
        for probe in PROBES:
            assert narrow.ask(probe)[0] == 200
        with grpc.insecure_channel(narrow.grpc) as channel:
            stub = GRPCInferenceServiceStub(channel)
            assert stub.ServerLive(pb.ServerLiveRequest(), timeout=60).live
            assert stub.ModelReady(pb.ModelReadyRequest(name="sentiment"), timeout=60).ready
    gained = narrow.gained(before)
    assert gained["app_request_rejected_count_total", "overloaded"] == 4
    assert gained["app_request_count_total", MODEL_INFER, "gRPC", "503"] == 1
    assert gained["app_request_latency_seconds_count", MODEL_INFER, "none"] == 1
    assert narrow.predict(["good"])
    assert infer(narrow, ["good"]) == grpc.StatusCode.OK


def test_calls_over_grpc_are_in_flight_and_those_given_up_are_told_apart(server):
    # beside work for a second or so, which no look at the metrics has to wait for
    request = pb.ModelInferRequest(model_name="sentiment", inputs=[tensor(["good " * 12_000])])
    before, calls = server.samples(), 100
    with grpc.insecure_channel(server.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        asked = [stub.ModelInfer.future(request, timeout=60) for _ in range(calls)]
        while not 2 <= server.samples()[("app_requests_in_flight",)] <= calls:
            assert not all(each.done() for each in asked)
        for each in asked:
            each.cancel()
        server.wait_for_in_flight(0)
        answered = sum(not each.cancelled() for each in asked)
    gained = server.gained(before)
    assert gained["app_request_count_total", MODEL_INFER, "gRPC", "499"] >= 1
    assert gained.get(("app_request_count_total", MODEL_INFER, "gRPC", "200"), 0) >= answered
    assert server.predict(["good"])


def test_a_connection_outlives_a_refusal(narrow):
    request = head(PREDICT, len(SMALL)) + SMALL
    with narrow.connect() as connection:
        with stalled(narrow, 1, 100_000):
            connection.sendall(request)
            assert answer(connection)[0] == 503
        connection.sendall(request)
        assert answer(connection)[0] == 200


def test_large_bodies_leave_half_of_the_places_to_small_ones(server):
    with stalled(server, RequestLimits().max_in_flight // 2, 100_000):
        assert server.ask(PREDICT, large())[0] == 503
        assert infer(server, ["good"], 100_000) == grpc.StatusCode.UNAVAILABLE
        assert server.ask(PREDICT, SMALL)[0] == 200
        assert infer(server, ["good"]) == grpc.StatusCode.OK


def test_the_bytes_of_large_bodies_are_bounded(server):
    with stalled(server, 8, 2**20):
        assert server.ask(PREDICT, large())[0] == 503
        assert server.ask(PREDICT, SMALL)[0] == 200
    assert server.ask(PREDICT, large())[0] == 200


def test_a_crowd_gets_right_answers_or_is_turned_away(server, imdb, offline):
    reviews = imdb["text"].iloc[::100].tolist()[:250]
    body = json.dumps({"instances": [*TEXTS, *reviews]}).encode()
    over = threading.Event()

    def ask(_) -> int:
        status, said, headers = server.ask(PREDICT, body, JSON)
        if status == 200:
            assert [row["probability"] for row in said["predictions"]][: len(TEXTS)] == offline
        else:
            assert list(said) == ["error"]
            assert 1 <= int(headers["retry-after"]) <= 10
        return status

    def probe() -> Counter[int]:
        came: Counter[int] = Counter()
        while not over.is_set():
            came.update(server.ask(path)[0] for path in PROBES)
        return came

    with ThreadPoolExecutor(120) as crowd, ThreadPoolExecutor(1) as kubelet:
        probes = kubelet.submit(probe)
        try:
            statuses = Counter(crowd.map(ask, range(360)))
        finally:
            over.set()
        assert set(probes.result()) == {200}
    assert set(statuses) == {200, 503}
    server.wait_for_in_flight(0)
    assert [row["probability"] for row in server.predict(TEXTS)] == offline


def singles_during(server, batch: bytes) -> int:
    """Return how many single reviews are answered, one after another, before a batch is."""
    single = head(PREDICT, len(SMALL)) + SMALL
    singles = 0
    with server.connect() as long, server.connect() as short:
        long.sendall(head(PREDICT, len(batch)) + batch)
        long.setblocking(False)
        while True:
            short.sendall(single)
            assert answer(short)[0] == 200
            try:
                assert long.recv(1)
                return singles
            except BlockingIOError:
                singles += 1


def test_a_batch_does_not_hold_up_single_reviews(server, imdb):
    batch = json.dumps({"instances": imdb["text"].iloc[::100].tolist()}).encode()
    # one may slip in before the batch; the best of some, as we may be held up ourselves
    assert max(singles_during(server, batch) for _ in range(5)) >= 2


def test_a_small_body_in_chunks_takes_a_small_place(server):
    body = f"{len(SMALL):x}\r\n".encode() + SMALL + b"\r\n0\r\n\r\n"
    top = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with stalled(server, 8, 2**20), server.connect() as connection:
        connection.sendall(top + body)
        assert answer(connection)[0] == 200


def test_who_sends_too_slowly_is_refused(trained, tmp_path):
    flags = ["--max_body_seconds", "1", "--timeout-keep-alive", "2"]
    with serving(trained.model, tmp_path, *flags) as server:
        for size in (100, 100_000):
            with server.connect() as connection:
                connection.sendall(head(PREDICT, size) + b"{")
                status, reason, _ = answer(connection)
                assert status == 408
                assert b"1 seconds" in reason
                assert connection.recv(1) == b""
        assert server.refused("too_slow") == 2
        request = head(PREDICT, len(SMALL)) + SMALL
        for sent in (b"", b"GET / HT", request + b"GET / HT"):
            with server.connect() as connection:
                connection.sendall(sent)
                if sent.startswith(request):
                    assert answer(connection)[0] == 200
                assert connection.recv(1) == b""


def test_sigterm_under_load_loses_no_request(trained, tmp_path):
    texts = ["a film that is good ! " * 40] * 20
    body = json.dumps({"instances": texts}).encode()
    came: Counter[str] = Counter()

    def over_http() -> None:
        while True:
            connection = http.client.HTTPConnection(*server.host, timeout=60)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            with connection.sock:
                connection.request("POST", PREDICT, body)
                response = connection.getresponse()
                came[f"HTTP {response.status}"] += len(json.load(response)["predictions"]) // 20

    def over_grpc() -> None:
        while (code := infer(server, texts)) != grpc.StatusCode.UNAVAILABLE:
            came[f"gRPC {code.name}"] += 1

    with ThreadPoolExecutor(16) as callers:
        with serving(trained.model, tmp_path) as server:
            calls = [callers.submit(over_http) for _ in range(8)]
            calls += [callers.submit(over_grpc) for _ in range(8)]
            time.sleep(2)
            before = came.copy()
        for call in calls:
            call.result()
    assert set(came) == {"HTTP 200", "gRPC OK"}
    assert all(before[kind] > 5 for kind in came)
