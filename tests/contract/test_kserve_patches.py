"""Unpatched KServe and uvicorn still have the faults that serving works around.

A test that fails after an upgrade says that a patch, or the method of a subclass, may be deleted.
"""

import ast
import asyncio
import inspect
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from fastapi import FastAPI
from fastapi.exceptions import FastAPIDeprecationWarning
from kserve import ModelServer
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from kserve.protocol.rest import v1_endpoints
from kserve.protocol.rest.server import RESTServer
from opentelemetry.sdk.trace import TracerProvider
from timing_asgi import TimingMiddleware

from serving import kserve_patches
from serving.http.protocol import MAX_HEAD
from serving.limits import RequestLimits
from tests.conftest import REPO, free_port, needs_ipv6, running
from tests.serving import JSON, Server, head
from tests.stock_kserve import Echo

ECHO = "/v1/models/echo"
BODY = b'{"instances": ["x"]}'


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serve_stock(tmp_path_factory.mktemp("stock"))


@pytest.fixture
def stopping(tmp_path: Path) -> Iterator[Server]:
    """A server that the test stops."""
    yield from serve_stock(tmp_path)


def serve_stock(directory: Path) -> Iterator[Server]:
    http, rpc = free_port(), free_port()
    command = [sys.executable, "-m", "tests.stock_kserve"]
    command += ["--http_port", str(http), "--grpc_port", str(rpc), "--timeout-keep-alive", "1"]
    address = f"http://127.0.0.1:{http}"
    with running(command, f"{address}{ECHO}", directory, PYTHONPATH=str(REPO)) as log:
        yield Server(address, f"127.0.0.1:{rpc}", log)


def status(server: Server, request: bytes) -> int:
    """Send a request that closes its connection, and return the status of the response."""
    with server.connect() as connection:
        connection.sendall(request)
        return int(connection.makefile("rb").readline().split()[1])


def post(path: str, body: bytes = BODY, *lines: str) -> bytes:
    return head(path, len(body), "POST", "Connection: close", *lines) + body


def log_of(server: Server, words: str) -> str:
    """Return the log as soon as it contains ``words``, or after a second."""
    deadline = time.monotonic() + 1
    while words not in server.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    return server.log.read_text()


def test_use_servers_is_needed(stock):
    """KServe takes no classes of servers, and its REST server has no limit on bodies."""
    assert not {name for name in inspect.signature(ModelServer).parameters if "server" in name}
    size = 2 * RequestLimits().max_body_bytes
    body = BODY + b" " * (size - len(BODY))
    assert status(stock, post(f"{ECHO}:predict", body, "Content-Type: application/json")) == 200


def test_use_v2_endpoints_is_needed(stock):
    """KServe does not implement paths that name a version."""
    assert status(stock, head("/v2/models/echo/versions/1", 0, "GET", "Connection: close")) == 501


def test_use_json_response_is_needed():
    """KServe's v1 handlers construct a deprecated class."""
    assert "ORJSONResponse(" in inspect.getsource(v1_endpoints.V1Endpoints.predict)
    with pytest.warns(FastAPIDeprecationWarning):
        v1_endpoints.ORJSONResponse(content={})


def test_remove_timing_is_needed():
    """KServe times each request, even if the log line is off."""
    app = FastAPI()
    RESTServer("tests", None, None, 0)._add_middlewares(app)
    assert TimingMiddleware in [each.cls for each in app.user_middleware]


def test_remove_telemetry_is_needed():
    """FastAPI would send a span of each request to a provider, beside ours."""
    app = FastAPI(telemetry={"tracer_provider": TracerProvider()})
    assert app._native_telemetry.enabled()
    kserve_patches.remove_telemetry(app)
    assert not app._native_telemetry.enabled()


def test_own_steps_are_needed(stock):
    """KServe times two steps that a predictor may not have."""
    stock.ask(f"{ECHO}:predict", b'{"instances": ["timed"]}', JSON)
    assert "request_preprocess_seconds_count" in {key[0] for key in stock.samples()}


def test_configure_logging_is_needed(stock):
    """KServe logs an access line and a line of its timing for each request."""
    stock.ask(f"{ECHO}:predict", b'{"instances": ["logged"]}', JSON)
    assert "kserve.trace" in log_of(stock, "kserve.trace")
    assert 'POST /v1/models/echo%3Apredict HTTP/1.1" 200' in log_of(stock, "echo%3Apredict")


def test_keep_event_headers_is_needed(stock):
    """KServe sends the headers of an explain request back to the client."""
    _, answer, headers = stock.ask(f"{ECHO}:explain", BODY, JSON | {"authorization": "secret"})
    assert answer == {"explanations": ["x"]}
    assert headers["authorization"] == "secret"


def test_own_decoding_is_needed(stock):
    """KServe does not decode a JSON body whose content type names a character set."""
    header = "Content-Type: application/json; charset=utf-8"
    assert status(stock, post(f"{ECHO}:predict", BODY, header)) == 500


@needs_ipv6
def test_own_host_is_needed(stock):
    """KServe listens for HTTP by IPv4 alone."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("::1", stock.host[1]), timeout=30)


def test_own_repository_is_needed(stock):
    """KServe cannot load a model again that it has unloaded."""
    assert status(stock, post("/v2/repository/models/unloaded/unload", b"")) == 200
    assert status(stock, post("/v2/repository/models/unloaded/load", b"")) >= 400
    assert status(stock, post("/v1/models/unloaded:predict")) == 404


def test_own_readiness_is_needed(stock):
    """KServe's server is ready whatever its models are."""
    assert "return True" in inspect.getsource(DataPlane.ready).splitlines()[-1]
    assert "model.load()" in inspect.getsource(DataPlane.get_model)


def test_own_versions_are_needed(stock):
    """KServe ignores the version in a gRPC call, and has none in the metadata."""
    with grpc.insecure_channel(stock.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ModelReady(pb.ModelReadyRequest(name="echo", version="9"), timeout=30).ready
        request = pb.ModelMetadataRequest(name="echo", version="9")
        assert not stub.ModelMetadata(request, timeout=30).versions


def test_own_grpc_control_is_needed(stock):
    """KServe ends each load or unload over gRPC with an error."""
    with grpc.insecure_channel(stock.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        request = pb.RepositoryModelUnloadRequest(model_name="also unloaded")
        with pytest.raises(grpc.RpcError) as caught:
            stub.RepositoryModelUnload(request, timeout=30)
    assert caught.value.code() == grpc.StatusCode.INTERNAL


def test_own_description_is_needed(stock):
    """KServe describes no body of a v1 request."""
    operation = stock.ask("/openapi.json")[1]["paths"]["/v1/models/{model_name}:predict"]["post"]
    assert "requestBody" not in operation


def test_own_interceptor_is_needed(stock):
    """KServe logs a caller's error over gRPC with a traceback."""
    with grpc.insecure_channel(stock.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError):
            stub.ModelInfer(pb.ModelInferRequest(model_name="absent"), timeout=30)
    assert "Traceback" in log_of(stock, "Traceback")


def test_own_stop_is_needed():
    """KServe unloads the models at a signal, before the calls in flight have ended."""

    async def stop() -> dict[str, Echo]:
        server = ModelServer(http_port=0, grpc_port=0)
        server.register_model(Echo("echo"))
        server.stop(signal.SIGTERM)
        return server.registered_models.get_models()

    assert asyncio.run(stop()) == {}


def test_refusal_of_upgrades_is_needed(stock):
    """uvicorn loses the body of a request that asks for another protocol."""
    lines = ("Content-Type: application/json", "Upgrade: h2c")
    request = head(f"{ECHO}:predict", len(BODY), "POST", "Connection: Upgrade", *lines) + BODY
    assert status(stock, request) != 200


def test_limit_on_heads_is_needed(stock):
    """uvicorn reads a head without end, beyond the keep-alive timeout of a second."""
    with stock.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Endless: " + b"x" * 2 * MAX_HEAD)
        connection.settimeout(1.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_dropping_of_trailers_is_needed(stock):
    """uvicorn adds trailers to the headers, which KServe's explain sends back."""
    lines = ("Host: x", "Connection: close", "Transfer-Encoding: chunked")
    top = "\r\n".join([f"POST {ECHO}:explain HTTP/1.1", *lines, "", ""]).encode()
    with stock.connect() as connection:
        connection.sendall(top + b"%x\r\n%s\r\n0\r\nX-Mine: 1\r\n\r\n" % (len(BODY), BODY))
        assert b"x-mine: 1\r\n" in connection.makefile("rb").read()


def test_own_check_of_framing_is_needed(stock):
    """httptools takes a request without a host, and a body in a coding that nothing decodes."""
    live = b"GET /v2/health/live HTTP/1.1\r\nConnection: close\r\n"
    assert status(stock, live + b"\r\n") == 200
    assert status(stock, live + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n") == 200


def test_parsing_of_one_request_at_a_time_is_needed(stock):
    """uvicorn closes the connection for an invalid request before it has answered the first."""
    valid = head(f"{ECHO}:predict", len(BODY), "POST", "Content-Type: application/json") + BODY
    assert status(stock, valid + b"GARBAGE\r\n\r\n") == 400


def test_drain_is_needed(stopping):
    """uvicorn closes a connection whose request is on its way at the shutdown."""
    with stopping.connect() as connection:
        time.sleep(0.3)
        stopping.process().send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert response_of(connection) == b""


def response_of(connection: socket.socket) -> bytes:
    try:
        connection.sendall(head("/v2/health/live", 0, "GET"))
        return connection.recv(1)
    except ConnectionError:
        return b""


def test_each_patch_has_a_test():
    patches = inspect.getmembers(kserve_patches, inspect.isfunction)
    names = [name for name, patch in patches if patch.__module__ == kserve_patches.__name__]
    assert len(names) == 7
    assert {f"test_{name}_is_needed" for name in names} <= set(globals())


def foreign_assignments(path: Path) -> Iterator[str]:
    """Yield each assignment to an attribute of something imported from another package."""
    tree = ast.parse(path.read_text())
    imported = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and not (getattr(node, "module", "") or "").startswith("serving")
        for alias in node.names
    }
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            root = target
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            if root is not target and isinstance(root, ast.Name) and root.id in imported:
                yield f"{path}:{node.lineno}: {ast.unparse(target)}"


def test_only_this_module_patches_libraries():
    modules = [*(REPO / "serving").rglob("*.py")]
    patching = {path.name for path in modules if list(foreign_assignments(path))}
    assert patching == {"kserve_patches.py"}
