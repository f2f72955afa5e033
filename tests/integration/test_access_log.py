"""The access log: a line for each request, without any text."""

import json
from datetime import datetime

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from tests.serving import (
    EXPLAIN,
    INFER,
    JSON,
    MODEL_INFER,
    PREDICT,
    Server,
    full,
    grpc_tensor,
    serving,
    wait_until,
)

SECRET = "unmistakable"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NAMED = {"x-request-id": "mine", "traceparent": f"00-{TRACE}-{SPAN}-01"}
FIELDS = {
    *("time", "id", "method", "route", "status", "duration_ms", "texts", "version"),
    *("trace_id", "parent_id"),
}


@pytest.fixture(scope="module")
def logged(trained, tmp_path_factory):
    directory = tmp_path_factory.mktemp("access")
    flags = ["--access_log", "json", "--model_version", "7", "--max_in_flight", "1"]
    with serving(trained.model, directory, *flags, module="tests.held_serving") as server:
        wait_until(lambda: lines(server))  # of the first probe, which may be late
        yield server


def lines(server: Server) -> list[dict]:
    return [json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{"]


def new_lines(server: Server, before: int, count: int = 1) -> list[dict]:
    """Return the lines since there were ``before``, as soon as there are ``count`` more."""
    wait_until(lambda: len(lines(server)) >= before + count, 30)
    return lines(server)[before:]


@pytest.mark.parametrize(
    ("path", "body", "texts"),
    [
        (PREDICT, {"instances": [SECRET]}, 1),
        (PREDICT, {"instances": [SECRET] * 3}, 3),
        (EXPLAIN, {"instances": [SECRET] * 2}, 2),
        (
            INFER,
            {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": [SECRET] * 2}]},
            2,
        ),
    ],
)
def test_request_is_logged_by_route_without_its_text(logged, path, body, texts):
    before = len(lines(logged))
    sent = json.dumps(body).encode()
    assert logged.ask(f"{path}?text={SECRET}", sent, JSON | NAMED)[0] == 200
    (line,) = new_lines(logged, before)
    assert set(line) == FIELDS
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert line["duration_ms"] > 0
    route = path.replace("sentiment", "{model_name}")
    assert (line["method"], line["route"], line["status"]) == ("POST", route, 200)
    assert (line["id"], line["texts"], line["version"]) == ("mine", texts, "7")
    assert (line["trace_id"], line["parent_id"]) == (TRACE, SPAN)
    assert SECRET not in logged.log.read_text()


@pytest.mark.parametrize(
    ("path", "body", "route", "status"),
    [
        (PREDICT, b"no JSON", "/v1/models/{model_name}:predict", 400),
        (f"/{SECRET}", None, "other", 404),
        (PREDICT, b"x" * (2**20 + 1), "other", 413),
        ("/v2/health/live", None, "/v2/health/live", 200),
        (f"/page/{SECRET}", None, "/page/{name}", 404),
    ],
)
def test_refusals_and_probes_are_logged_with_the_id_of_the_answer(
    logged, path, body, route, status
):
    before = len(lines(logged))
    _, _, headers = logged.ask(path, body, {"traceparent": "invalid"})
    (line,) = new_lines(logged, before)
    assert (line["route"], line["status"]) == (route, status)
    assert line["id"] == headers["x-request-id"]
    assert (line["texts"], line["version"], line["trace_id"]) == (0, None, None)
    assert SECRET not in logged.log.read_text()


def test_what_is_not_http_is_logged(logged):
    before = len(lines(logged))
    with logged.connect() as connection:
        connection.sendall(f"{SECRET} / nothing\r\n\r\n".encode())
        assert b"400" in connection.recv(1000)
    (line,) = new_lines(logged, before)
    assert (line["method"], line["route"], line["status"]) == ("other", "other", 400)


def test_calls_over_grpc_are_logged(logged):
    before = len(lines(logged))
    good = pb.ModelInferRequest(model_name="sentiment", inputs=[grpc_tensor([SECRET] * 2)])
    wrong = pb.ModelInferRequest(model_name="sentiment")
    with grpc.insecure_channel(logged.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        metadata = tuple(NAMED.items())
        stub.ModelInfer(good, timeout=60, metadata=metadata)
        with pytest.raises(grpc.RpcError):
            stub.ModelInfer(wrong, timeout=60, metadata=metadata)
        live, call = stub.ServerLive.with_call(pb.ServerLiveRequest(), timeout=60)
        assert live.live
    answered, refused, probe = new_lines(logged, before, 3)
    assert (answered["method"], answered["route"], answered["status"]) == (
        *("gRPC", MODEL_INFER),
        200,
    )
    assert (answered["texts"], answered["version"], answered["id"]) == (2, "7", "mine")
    assert (answered["trace_id"], answered["parent_id"]) == (TRACE, SPAN)
    assert (refused["status"], refused["texts"], refused["id"]) == (400, 0, "mine")
    assert probe["id"] == dict(call.trailing_metadata())["x-request-id"]
    assert SECRET not in logged.log.read_text()


def test_overload_is_logged(logged):
    before = len(lines(logged))
    body = b'{"instances": ["%s"]}' % SECRET.encode()
    with full(logged):
        assert logged.ask(PREDICT, body, JSON)[0] == 503
    wait_until(lambda: any(line["status"] == 503 for line in lines(logged)[before:]))


def test_requests_are_not_logged_by_default(server):
    server.predict([SECRET])
    assert lines(server) == []


@pytest.mark.parametrize(
    "path", ["/v2/health/live", "/v1/models", "/v2/models/sentiment", "/metrics", "/openapi.json"]
)
def test_each_answer_has_an_id(server, path):
    for sent, expected in (({"x-request-id": "mine"}, "mine"), ({}, None)):
        with server.connect() as connection:
            lines = [f"{name}: {value}" for name, value in sent.items()]
            head = "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *lines])
            connection.sendall(f"{head}\r\n\r\n".encode())
            answer = connection.makefile("rb").read().partition(b"\r\n\r\n")[0].decode()
        named = [x for x in answer.splitlines() if x.startswith("x-request-id: ")]
        assert len(named) == 1, answer
        assert named[0].endswith(expected or named[0])
