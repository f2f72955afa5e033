"""The real predictor process, asked over HTTP and gRPC as its callers do."""

import json
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import REPO, free_port, running

MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
PREDICT = "/v1/models/sentiment:predict"
EXPLAIN = "/v1/models/sentiment:explain"
INFER = "/v2/models/sentiment/infer"
JSON = {"content-type": "application/json"}
TEXTS = ["A wonderful film, well acted.", "Dull, bad and far too long.", "", "<br />Ünï 😀"]


WATCHED = ("--watch_seconds", "0.05")


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

    def refusal(self, path: str, body: bytes | None = None, headers: dict | None = None, **how):
        """Return the status and the reason of an answer that must have our one shape."""
        status, answer, _ = self.ask(path, body, headers, **how)
        assert 400 <= status < 500, answer
        assert list(answer) == ["error"]
        assert isinstance(answer["error"], str)
        return status, answer["error"]

    def predict(self, instances) -> list[dict]:
        status, body, _ = self.ask(PREDICT, json.dumps({"instances": instances}).encode(), JSON)
        assert status == 200, body
        return body["predictions"]

    def samples(self) -> dict[tuple[str, ...], float]:
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=60) as response:
            families = list(text_string_to_metric_families(response.read().decode()))
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def gained(self, before: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
        """Return what has grown since ``before``, which is earlier samples, and by how much."""
        grown = {key: value - before.get(key, 0) for key, value in self.samples().items()}
        return {key: value for key, value in grown.items() if value}

    def wait_for_in_flight(self, count: int) -> None:
        deadline = time.monotonic() + 30
        while self.samples()[("app_requests_in_flight",)] != count:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def refused(self, reason: str) -> float:
        return self.samples()[("app_request_rejected_count_total", reason)]

    def resident(self) -> float:
        """Return the bytes of memory that the process holds."""
        return self.samples()[("process_resident_memory_bytes",)]

    def connect(self) -> socket.socket:
        return socket.create_connection(self.host, timeout=60)


@contextmanager
def serving(
    model: Path | str, directory: Path, *flags: str, **environment: str
) -> Iterator[Server]:
    """Serve a model until the block ends; nothing in it may make the server log a traceback."""
    http, grpc = free_port(), free_port()
    command = [sys.executable, "-m", "serving", "--model_uri", str(model)]
    command += ["--http_port", str(http), "--grpc_port", str(grpc), *flags]
    address = f"http://127.0.0.1:{http}"
    environment["PYTHONPATH"] = str(REPO)
    with running(command, f"{address}/v1/models/sentiment", directory, **environment) as log:
        yield Server(address, f"127.0.0.1:{grpc}", log)
    assert "Traceback" not in log.read_text()


def place(model: Path, folder: Path) -> None:
    """Put a model where another is, in one step, as a mount of a cluster changes."""
    staged = folder.with_name(f"{folder.name}-{time.monotonic_ns()}")
    shutil.copytree(model, staged)
    link = folder.with_name("link")
    link.symlink_to(staged)
    link.replace(folder)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def version(server: Server) -> str:
    answers = server.ask(PREDICT, json.dumps({"instances": TEXTS[:1]}).encode(), JSON)
    return answers[2]["x-model-version"]


def head(path: str, size: int | str, method: str = "POST", *lines: str) -> bytes:
    """Return the head of a request whose body has ``size`` bytes."""
    headers = ["Host: test", f"Content-Length: {size}", *lines]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *headers, "", ""]).encode("latin-1")


def answer(connection: socket.socket) -> tuple[int, bytes, dict[str, str]]:
    """Read one answer: status, body, headers."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    top, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    while len(rest) < int(headers["content-length"]):
        rest += _more(connection)
    assert len(rest) == int(headers["content-length"])
    return int(first.split()[1]), rest, headers


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError("the server closed the connection")
    return data
