"""What tools.cluster_test counts: real requests to a server, and a real deploy that ends early."""

import http.server
import itertools
import json
import re
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
import yaml

from tests.conftest import REPO, free_port, running
from tests.serving import PREDICT
from tools.cluster_test.answers import Asked, are_equal
from tools.cluster_test.deployment import Expected, OverlayCopy, Step, copy_of, judge
from tools.cluster_test.evidence import Evidence
from tools.cluster_test.faults import server_failing
from tools.cluster_test.load import NOT_COUNTED, Caller
from tools.cluster_test.runs import PipelineRun


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
    copied = OverlayCopy(directory / "nowhere", ["--prometheus=http://127.0.0.1:1"], called)
    return copied.step("nowhere", "1", Expected(1))


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


def test_the_template_of_the_copy_gets_what_a_step_changes(tmp_path):
    folder = copy_of(REPO / "manifests/overlays/local", tmp_path / "copy")
    copied = OverlayCopy(folder, [], Caller("", "", "", 1), {"requests": {"cpu": "100m"}})
    copied.change(env=[{"name": "CLUSTER_TEST", "value": "1"}])
    document = yaml.safe_load((folder / "template/cluster-test.yaml").read_text())
    assert document["metadata"] == {"name": "sentiment", "namespace": "sentiment"}
    (container,) = document["spec"]["predictor"]["containers"]
    assert container["name"] == "kserve-container"
    assert container["resources"] == {"requests": {"cpu": "100m"}}
    assert container["env"] == [{"name": "CLUSTER_TEST", "value": "1"}]


GOOD = {"instances": ["good"]}
OK, FAILED, NO_ANSWER = (200, "1"), (500, "1"), (0, "none")


@pytest.mark.parametrize(
    ("expected", "code", "answers", "passed"),
    [
        (Expected(0), 0, {OK: 600}, True),
        (Expected(0), 3, {OK: 600}, False),
        (Expected(0), 0, {OK: 599, FAILED: 1}, False),
        (Expected(0), 0, {OK: 599, NO_ANSWER: 1}, False),
        (Expected(0), 0, {OK: 600, (NOT_COUNTED, "none"): 50}, True),
        (Expected(0), 0, {OK: 290, (NOT_COUNTED, "none"): 310}, False),
        (Expected(3, lost_share=0.1), 3, {OK: 540, FAILED: 60}, True),
        (Expected(3, lost_share=0.1), 3, {OK: 539, FAILED: 61}, False),
    ],
)
def test_a_step_is_judged_by_its_end_and_what_the_gateway_lost(expected, code, answers, passed):
    step = judge("a", expected, code, Counter(answers), seconds=10, rate=60, last_line="")
    assert step.passed is passed
    assert step.lost == answers.get(FAILED, 0) + answers.get(NO_ANSWER, 0)


def test_a_request_that_the_forward_lost_is_not_counted(monkeypatch):
    forward = SimpleNamespace(lost_request=lambda since: True)
    called = Caller(f"http://127.0.0.1:{free_port()}", "a", "/predict", 50, forward)
    with called.calling():
        time.sleep(1)
    assert set(called.answers()) == {(NOT_COUNTED, "none")}
    forward.lost_request = lambda since: False
    with called.calling():
        time.sleep(1)
    assert called.answers()[0, "none"] > 10


def evidence(folder: Path) -> Evidence:
    found = Evidence(folder, 60, {"kubernetes": "v1.36.1", "commit": "abc"})
    found.add_answers("in the end", {"v1": 0.9, "v2": 0.9, "gRPC": 0.9})
    found.add(Step("a", True, 0, 0, 1.5, 9, 0, 2, {"1": 4, "2": 5}, "deploy: x | y"))
    return found


def test_the_page_has_a_row_for_each_run_and_what_was_skipped(tmp_path):
    found = evidence(tmp_path)
    tasks = {"ingest": "succeeded", "validate": "failed"}
    found.add_run(PipelineRun("a run", False, 2.5, tasks, "sentiment", "7", "", "no"))
    found.skip("a second model", "no flag")
    page = found.page.read_text()
    assert "| a run | False | 2.5 | 1 succeeded, validate failed | sentiment 7 |  | no |" in page
    assert "| a second model | no flag |" in page
    assert found.failures == ["a run"]


def test_the_page_has_a_row_for_each_step(tmp_path):
    page = evidence(tmp_path).page.read_text()
    assert "| a | True | 0 | 1.5 | 9 | 0 | 2 | 1: 4, 2: 5 | deploy: x / y |" in page
    assert "| in the end | 0.9 | 0.9 | 0.9 |" in page
    assert "| kubernetes | v1.36.1 |" in page
    assert "9 requests counted, 0 lost" in page


def test_evidence_names_what_failed(tmp_path):
    found = evidence(tmp_path)
    assert found.failures == []
    found.add_answers("later", {"v1": 0.9, "v2": 0.9, "gRPC": "UNAVAILABLE: no route"})
    found.add(Step("b", False, 0, 3, 1.5, 9, 0, 0, {"1": 9}, ""))
    assert found.failures == ["b", "later"]
    document = json.loads((tmp_path / "cluster-test.json").read_text())
    assert [each["name"] for each in document["steps"]] == ["a", "b"]


def test_evidence_is_published_in_a_job_of_github(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    found = evidence(tmp_path)
    found.publish()
    assert (tmp_path / "summary.md").read_text() == found.page.read_text()


def test_a_model_is_asked_over_each_protocol(server):
    over_http = Asked(server.address, "a.example.org", "sentiment").ask()
    over_grpc = Asked(f"http://{server.grpc}", "a.example.org", "sentiment").ask()
    answers = {"v1": over_http["v1"], "v2": over_http["v2"], "gRPC": over_grpc["gRPC"]}
    assert are_equal(answers)
    assert 0 < answers["v1"] < 1
    assert not are_equal(over_http)  # its gRPC has no answer there
    assert "UNAVAILABLE" in str(over_http["gRPC"]) or "UNKNOWN" in str(over_http["gRPC"])
    assert not are_equal(answers | {"v2": 0.5})


def test_a_failing_server_gets_ready_and_answers_500_as_told(trained, tmp_path):
    port = free_port()
    _, flag, code = server_failing(first=2, each=3)["command"]
    command = [sys.executable, flag, code, "--model_name=sentiment", f"--http_port={port}"]
    command += [f"--grpc_port={free_port()}", f"--model_uri={trained.model}"]
    address = f"http://127.0.0.1:{port}"
    with running(command, f"{address}/v1/models/sentiment", tmp_path, PYTHONPATH=str(REPO)):
        body = {"instances": ["good"]}
        found = [
            requests.post(address + PREDICT, json=body, timeout=60).status_code for _ in range(7)
        ]
        metrics = requests.get(f"{address}/metrics", timeout=60).text
    assert found == [200, 200, 200, 500, 200, 200, 500]
    assert re.search(r'app_request_count_total{.*status="500".*} 2.0', metrics)
