"""What tools.cluster_test counts: real requests to a server, and a real deploy that ends early."""

import http.server
import itertools
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPO
from tools.cluster_test import Caller, OverlayCopy, Step, copy_of, write_page


class Gateway(http.server.ThreadingHTTPServer):
    """Answers every request, each ``failing``-th with 500 (0: none)."""

    def __init__(self, failing: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.failing = failing
        self.numbers = itertools.count(1)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Gateway
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        number = next(self.server.numbers)
        fails = self.server.failing and number % self.server.failing == 0
        self.send_response(500 if fails else 200)
        self.send_header("x-model-version", self.headers["host"])
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(params=[0, 10])
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with Gateway(request.param) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def caller(server: Gateway) -> Caller:
    return Caller(f"http://127.0.0.1:{server.server_port}", "a.example.org", "/predict", rate=100)


def deploy_nowhere(called: Caller, directory: Path) -> Step:
    """Run a deployment that ends at once with exit code 1, as there is no overlay."""
    return OverlayCopy(directory / "nowhere", [], called).step("nowhere", "1", wanted_exit=1)


def test_every_answer_is_counted(gateway):
    called = caller(gateway)
    with called.calling():
        time.sleep(2)
    answers, sent = called.answers(), next(gateway.numbers) - 1
    assert answers.total() == sent > 150
    lost = sent // gateway.failing if gateway.failing else 0
    assert answers[500, "a.example.org"] == lost
    assert answers[200, "a.example.org"] == sent - lost


def test_a_step_without_lost_requests_passes(gateway, tmp_path):
    called = caller(gateway)
    with called.calling():
        step = deploy_nowhere(called, tmp_path)
    assert step.exit == 1
    assert step.requests > 100
    assert bool(step.lost) is bool(gateway.failing)
    assert step.passed is not bool(gateway.failing)
    assert step.last_line.startswith("deploy: error: ")


def test_a_step_without_requests_fails(gateway, tmp_path):
    step = deploy_nowhere(caller(gateway), tmp_path)
    assert (step.exit, step.requests, step.lost) == (1, 0, 0)
    assert not step.passed


def test_an_error_of_a_sender_is_raised(monkeypatch, gateway):
    called = caller(gateway)
    monkeypatch.setattr(Caller, "_ask", lambda *_: {}["none"])
    with pytest.raises(KeyError, match="none"), called.calling():
        time.sleep(0.5)


def test_the_overlay_is_copied(tmp_path):
    manifests = tmp_path / "manifests"
    shutil.copytree(REPO / "manifests", manifests)
    before = {path: path.read_bytes() for path in manifests.rglob("*") if path.is_file()}
    copied = copy_of(manifests / "overlays/local", tmp_path / "copy")
    assert copied == tmp_path / "copy/overlays/local"
    assert "cluster-test.yaml" in (copied / "template/kustomization.yaml").read_text()
    assert {path: path.read_bytes() for path in manifests.rglob("*") if path.is_file()} == before


def test_the_page_has_a_row_for_each_step(tmp_path):
    step = {"name": "a", "passed": True, "exit": 0, "seconds": 1.5, "requests": 9, "lost": 0}
    step |= {"versions": {"1": 4, "2": 5}, "last_line": "deploy: x | y"}
    write_page(tmp_path / "page.md", {"cluster": "k", "at": "now", "steps": [step]})
    row = "| a | True | 0 | 1.5 | 9 | 0 | 1: 4, 2: 5 | deploy: x / y |"
    assert row in (tmp_path / "page.md").read_text()
