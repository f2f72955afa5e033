"""More requests than the server has slots for, and clients of every pace."""

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from serving.limits import RequestLimits
from tests.serving import (
    INFER,
    JSON,
    MODEL_INFER,
    PREDICT,
    TEXTS,
    call_infer,
    full,
    grpc_tensor,
    head,
    read_response,
    serving,
    wait_until,
)

PROBES = ["/v2/health/live", "/v2/health/ready", "/v1/models/sentiment", "/v2/models/sentiment"]
SMALL = json.dumps({"instances": ["good"]}).encode()
REQUESTS, LATENCIES = "app_request_count_total", "app_request_latency_seconds_count"


@pytest.fixture(scope="module")
def one_slot(trained, tmp_path_factory):
    """A server with one slot."""
    directory = tmp_path_factory.mktemp("one-slot")
    flags = ["--max_in_flight", "1"]
    with serving(trained.model, directory, *flags, module="tests.held_serving") as server:
        yield server


@contextmanager
def unfinished_requests(server, count: int, size: int, sent: int):
    """Have clients send the first bytes of a body, which the server reads, and stop."""
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(server.connect())
            connection.sendall(head(PREDICT, size) + b" " * sent)
            port = connection.getsockname()[1]
            wait_until(lambda port=port: not waiting_bytes(port))
        yield


def waiting_bytes(port: int) -> int:
    """Return how many bytes of a client's connection the kernel holds, on both of its ends."""
    total = 0
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(path).read_text().splitlines()[1:]:
            _, local, remote, _, queues, *_ = line.split()
            if f":{port:04X}" in (local[-5:], remote[-5:]):
                total += sum(int(queue, 16) for queue in queues.split(":"))
    return total


def large(size: int = 100_000) -> bytes:
    return SMALL + b" " * (size - len(SMALL))


def test_full_server_answers_503_with_retry_after(one_slot):
    with full(one_slot):
        for path, body in ((PREDICT, SMALL), (INFER, SMALL), (PREDICT, large())):
            status, answer, headers = one_slot.ask(path, body, JSON)
            assert status == 503
            assert headers["retry-after"] == "1"
            assert "in flight" in answer["error"]
        assert call_infer(one_slot, ["good"]) == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert one_slot.predict(["good"])
    assert call_infer(one_slot, ["good"]) == grpc.StatusCode.OK


def test_full_server_answers_probes(one_slot):
    with full(one_slot):
        for probe in PROBES:
            assert one_slot.ask(probe)[0] == 200
        with grpc.insecure_channel(one_slot.grpc) as channel:
            stub = GRPCInferenceServiceStub(channel)
            assert stub.ServerLive(pb.ServerLiveRequest(), timeout=60).live
            assert stub.ModelReady(pb.ModelReadyRequest(name="sentiment"), timeout=60).ready


def test_overload_is_counted_over_http_and_grpc(one_slot):
    before = one_slot.samples()
    with full(one_slot):
        assert one_slot.ask(PREDICT, SMALL, JSON)[0] == 503
        assert call_infer(one_slot, ["good"]) == grpc.StatusCode.RESOURCE_EXHAUSTED
    increases = one_slot.increases(before)
    assert increases["app_request_rejected_count_total", "overloaded"] == 2
    assert increases[REQUESTS, MODEL_INFER, "gRPC", "503"] == 1
    assert increases[LATENCIES, MODEL_INFER, "none"] == 1


def test_cancelled_grpc_calls_are_counted(server):
    # work for about a second, which a scrape does not wait for
    tensor = grpc_tensor(["good " * 12_000])
    request = pb.ModelInferRequest(model_name="sentiment", inputs=[tensor])
    before, count = server.samples(), 100
    with grpc.insecure_channel(server.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        calls = [stub.ModelInfer.future(request, timeout=60) for _ in range(count)]
        while not 2 <= server.samples()[("app_requests_in_flight",)] <= count:
            assert not all(call.done() for call in calls)
        for call in calls:
            call.cancel()
        server.wait_for_in_flight(0)
        answered = sum(not call.cancelled() for call in calls)
    increases = server.increases(before)
    assert increases[REQUESTS, MODEL_INFER, "gRPC", "499"] >= 1
    assert increases.get((REQUESTS, MODEL_INFER, "gRPC", "200"), 0) >= answered
    assert server.predict(["good"])


def test_connection_survives_a_refusal(one_slot):
    request = head(PREDICT, len(SMALL)) + SMALL
    with one_slot.connect() as connection:
        with full(one_slot):
            connection.sendall(request)
            assert read_response(connection)[0] == 503
        connection.sendall(request)
        assert read_response(connection)[0] == 200


def test_announced_bytes_take_no_room(server):
    """Clients that announce large bodies and do not send them leave room for others."""
    announced = unfinished_requests(server, 2 * RequestLimits().max_in_flight, 2**20, 1)
    with announced:
        assert server.samples()[("app_requests_in_flight",)] == 0
        assert server.ask(PREDICT, large(2**20))[0] == 200
        assert call_infer(server, ["good"], 100_000) == grpc.StatusCode.OK


@pytest.fixture(scope="module")
def little_room(trained, tmp_path_factory):
    """A server with room for 2 MiB of large bodies that are arriving, and as much of small ones."""
    flags = ["--max_in_flight_bytes", str(2**20), "--max_body_seconds", "60"]
    with serving(trained.model, tmp_path_factory.mktemp("little-room"), *flags) as server:
        yield server


def test_bytes_of_unfinished_bodies_are_bounded(little_room):
    chunked = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with unfinished_requests(little_room, 3, 10**6, 650_000):
        status, reason, headers = little_room.send(head(PREDICT, 10**6) + b" " * 650_000)
        assert status == 503
        assert b"bytes of other bodies are arriving" in reason
        assert headers["retry-after"] == "1"
        large_chunk = b"9eb10\r\n" + b" " * 650_000 + b"\r\n"
        assert little_room.send(chunked + large_chunk)[0] == 503
        small = f"{len(SMALL):x}\r\n".encode() + SMALL + b"\r\n0\r\n\r\n"
        assert little_room.send(chunked + small)[0] == 200
        assert little_room.ask(PREDICT, SMALL)[0] == 200
    wait_until(lambda: little_room.ask(PREDICT, large(10**6))[0] == 200)


def test_crowd_gets_right_answers_or_503(server, imdb, offline):
    reviews = imdb["text"].iloc[::100].tolist()[:250]
    body = json.dumps({"instances": [*TEXTS, *reviews]}).encode()
    over = threading.Event()

    def ask(_) -> int:
        status, answer, headers = server.ask(PREDICT, body, JSON)
        if status == 200:
            assert [row["probability"] for row in answer["predictions"]][: len(TEXTS)] == offline
        else:
            assert list(answer) == ["error"]
            assert 1 <= int(headers["retry-after"]) <= 10
        return status

    def probe() -> Counter[int]:
        statuses: Counter[int] = Counter()
        while not over.is_set():
            statuses.update(server.ask(path)[0] for path in PROBES)
        return statuses

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
            assert read_response(short)[0] == 200
            try:
                assert long.recv(1)
                return singles
            except BlockingIOError:
                singles += 1


def test_batch_does_not_delay_single_reviews(server, imdb):
    batch = json.dumps({"instances": imdb["text"].iloc[::100].tolist()}).encode()
    # one may be answered before the batch begins; the best of five, as this test may be slow itself
    assert max(singles_during(server, batch) for _ in range(5)) >= 2


@pytest.mark.parametrize("size", [10_000, 100_000])
@pytest.mark.parametrize("sent", [1, 9_000])
def test_sender_below_the_minimum_rate_is_refused(little_room, size, sent):
    with little_room.connect() as connection:
        connection.sendall(head(PREDICT, size) + b" " * sent)
        status, reason, _ = read_response(connection)
    assert status == 408
    assert b"4096 bytes a second (--min_body_rate)" in reason


def test_sender_above_the_minimum_rate_is_served(little_room):
    """A client may send slowly, some bytes at a time, for longer than it may pause."""
    with little_room.connect() as connection:
        connection.sendall(head(PREDICT, 40_000) + SMALL)
        for left in range(40_000 - len(SMALL), 0, -2_000):
            connection.sendall(b" " * min(left, 2_000))
            time.sleep(0.15)
        assert read_response(connection)[0] == 200


@pytest.fixture(scope="module")
def impatient(trained, tmp_path_factory):
    """A server with short timeouts."""
    flags = ["--max_body_seconds", "1", "--timeout-keep-alive", "2"]
    with serving(trained.model, tmp_path_factory.mktemp("impatient"), *flags) as server:
        yield server


@pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS", "DELETE"])
def test_slow_body_is_refused(impatient, method):
    before = impatient.rejected("too_slow")
    for size in (100, 100_000):
        with impatient.connect() as connection:
            connection.sendall(head(PREDICT, size, method) + b"{")
            status, reason, _ = read_response(connection)
            assert status == 408
            assert b"1 seconds" in reason
            assert connection.recv(1) == b""
    assert impatient.rejected("too_slow") == before + 2


def test_slow_head_ends_the_connection(impatient):
    request = head(PREDICT, len(SMALL)) + SMALL
    for sent in (b"", b"GET / HT", request + b"GET / HT"):
        with impatient.connect() as connection:
            connection.sendall(sent)
            if sent.startswith(request):
                assert read_response(connection)[0] == 200
            assert connection.recv(1) == b""
