"""Run the real predictor process and send requests to it over HTTP."""

import json
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import psutil
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from prometheus_client.parser import text_string_to_metric_families

from tests import forked_serving
from tests.conftest import REPO, free_port, running, started

MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
PREDICT = "/v1/models/sentiment:predict"
EXPLAIN = "/v1/models/sentiment:explain"
FEEDBACK = "/v1/models/sentiment:feedback"
INFER = "/v2/models/sentiment/infer"
JSON = {"content-type": "application/json"}
TEXTS = ["A wonderful film, well acted.", "Dull, bad and far too long.", "", "<br />Ünï 😀"]
WATCH = ("--watch_seconds", "0.05")
Samples = dict[tuple[str, ...], float]  # by the name and the sorted labels' values


@dataclass(frozen=True)
class Server:
    address: str
    grpc: str
    log: Path

    @property
    def host(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.address.rpartition(":")[2])

    def ask(self, path: str, body: bytes | None = None, headers: dict | None = None, method=None):
        """Return status, parsed body and headers."""
        request = urllib.request.Request(self.address + path, body, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.load(response), response.headers
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null"), error.headers

    def refusal(self, path: str, body: bytes | None = None, headers: dict | None = None, **options):
        """Assert that an error has the one shape; return its status and its reason."""
        status, answer, _ = self.ask(path, body, headers, **options)
        assert 400 <= status < 500, answer
        assert list(answer) == ["error"]
        assert isinstance(answer["error"], str)
        return status, answer["error"]

    def predict(self, instances) -> list[dict]:
        status, body, _ = self.ask(PREDICT, json.dumps({"instances": instances}).encode(), JSON)
        assert status == 200, body
        return body["predictions"]

    def version(self) -> str:
        """Return the version that answers a prediction."""
        return self.ask(PREDICT, b'{"instances": ["good"]}', JSON)[2]["x-model-version"]

    def samples(self) -> Samples:
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=60) as response:
            families = list(text_string_to_metric_families(response.read().decode()))
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def increases(self, before: Samples) -> Samples:
        """Return the samples that have grown since ``before``, and by how much."""
        grown = {key: value - before.get(key, 0) for key, value in self.samples().items()}
        return {key: value for key, value in grown.items() if value}

    def wait_for_in_flight(self, count: int) -> None:
        wait_until(lambda: self.samples()[("app_requests_in_flight",)] == count, 30)

    def rejected(self, reason: str) -> float:
        return self.samples()[("app_request_rejected_count_total", reason)]

    def memory(self) -> float:
        """Return the resident memory of the process, in bytes."""
        return self.samples()[("process_resident_memory_bytes",)]

    def connect(self) -> socket.socket:
        return socket.create_connection(self.host, timeout=60)

    def send(self, data: bytes) -> tuple[int, bytes, dict[str, str]]:
        """Send bytes on a connection of their own, and return the first response."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_response(connection)

    def process(self) -> psutil.Process:
        """Return the process that listens on the server's port."""
        for child in psutil.Process().children(recursive=True):
            for each in child.connections("tcp"):
                if each.laddr.port == self.host[1] and each.status == psutil.CONN_LISTEN:
                    return child
        raise AssertionError(f"no child listens on {self.address}")


@contextmanager
def serving(
    model: Path | str,
    directory: Path,
    *flags: str,
    module: str = "serving",
    **environment: str,
) -> Iterator[Server]:
    """Serve a model until the block ends, and assert that the server logged no traceback.

    With an ``environment``, which imports may read, it is a command line; else it is forked.
    """
    http_port, grpc_port = free_port(), free_port()
    arguments = ["--model_uri", str(model), "--http_port", str(http_port)]
    arguments += ["--grpc_port", str(grpc_port), *flags]
    address = f"http://127.0.0.1:{http_port}"
    ready = f"{address}/v1/models/sentiment"
    if environment:
        environment["PYTHONPATH"] = str(REPO)
        command = [sys.executable, "-m", module, *arguments]
        server = running(command, ready, directory, **environment)
    else:
        start = partial(forked_serving.start, module, arguments, directory)
        server = started(start, ready, directory)
    with server as log:
        yield Server(address, f"127.0.0.1:{grpc_port}", log)
    assert "Traceback" not in log.read_text()


def replace_model(model: Path, folder: Path) -> None:
    """Replace the model in a folder in one step, as the mount of a cluster changes."""
    staged = folder.with_name(f"{folder.name}-{time.monotonic_ns()}")
    shutil.copytree(model, staged)
    link = folder.with_name("link")
    link.symlink_to(staged)
    link.replace(folder)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition was not met in {seconds} seconds"
        time.sleep(0.02)


def grpc_tensor(texts: list[str]) -> dict:
    contents = {"bytes_contents": [text.encode() for text in texts]}
    return {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "contents": contents}


def call_infer(server: Server, texts: list[str], padding: int = 0) -> grpc.StatusCode:
    """Call ModelInfer, with ``padding`` more bytes in the message, and return the status."""
    tensor = grpc_tensor(texts)
    request = pb.ModelInferRequest(model_name="sentiment", inputs=[tensor], id="x" * padding)
    with grpc.insecure_channel(server.grpc, [("grpc.enable_retries", 0)]) as channel:
        try:
            GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def head(path: str, size: int | str, method: str = "POST", *lines: str) -> bytes:
    """Return the head of a request whose body has ``size`` bytes."""
    headers = ["Host: test", f"Content-Length: {size}", *lines]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *headers, "", ""]).encode("latin-1")


def read_response(connection: socket.socket) -> tuple[int, bytes, dict[str, str]]:
    """Read one response: status, body, headers."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    top, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    while len(rest) < int(headers["content-length"]):
        rest += _receive(connection)
    assert len(rest) == int(headers["content-length"])
    return int(first.split()[1]), rest, headers


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError("the server closed the connection")
    return data


@contextmanager
def full(server: Server) -> Iterator[None]:
    """Hold all slots of a server of tests.held_serving, which has one."""
    server.process().send_signal(signal.SIGUSR1)
    server.wait_for_in_flight(1)
    yield
    server.process().send_signal(signal.SIGUSR2)
    server.wait_for_in_flight(0)
