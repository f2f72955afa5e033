"""monitoring.dispatch against a stand-in for GitHub's API, by itself and from a receiver."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from components.errors import UnavailableError
from tests.conftest import REPO, assert_one_line
from tests.integration.test_receiver import receiver

GITHUB_TOKEN = "a-token-of-github"
DISPATCH = [sys.executable, "-m", "monitoring.dispatch", "--repository", "acme/sentiment"]


class StandInForGitHub(ThreadingHTTPServer):
    """Accepts POST /repos/OWNER/NAME/dispatches as GitHub documents it, and keeps the events."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.events: list[dict] = []
        self.failures: list[int] = []  # statuses of the next responses, last first


class _Handler(BaseHTTPRequestHandler):
    server: StandInForGitHub

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(self.status(body))
        self.send_header("location", f"{self.server.address}/repositories/7/dispatches")
        self.send_header("content-length", "0")
        self.end_headers()

    def status(self, body: dict) -> int:
        if self.server.failures:
            return self.server.failures.pop()
        if self.headers["authorization"] != f"Bearer {GITHUB_TOKEN}":
            return 401
        if self.path == "/repos/acme/renamed/dispatches":
            return 307
        if self.path != "/repos/acme/sentiment/dispatches":
            return 404
        assert self.headers["accept"] == "application/vnd.github+json"
        self.server.events.append(body)
        return 204

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def github():
    with StandInForGitHub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def dispatch(directory: Path, *arguments: str, **environment: str):
    return subprocess.run(
        [*DISPATCH, *arguments],
        cwd=directory,
        env={"PYTHONPATH": str(REPO), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_drift_starts_the_workflow_once(tmp_path, github):
    environment = {"GITHUB_API_URL": f"{github.address}/", "GITHUB_TOKEN": GITHUB_TOKEN}
    with receiver(tmp_path, DISPATCH, **environment) as running_receiver:
        assert running_receiver.notify("a") == "started"
        running_receiver.wait_for("succeeded")
        assert running_receiver.notify("a") == "known"
        assert running_receiver.notify("b") == "cooling down"
    assert github.events == [{"event_type": "drift"}]
    workflow = yaml.safe_load((REPO / ".github/workflows/retrain.yml").read_text())
    assert workflow[True]["repository_dispatch"]["types"] == ["drift"]  # True: YAML 1.1's `on`


def test_token_file_and_retries(tmp_path, github):
    (tmp_path / "github").write_text(f"{GITHUB_TOKEN}\n")
    github.failures = [502, 503]
    result = dispatch(tmp_path, "--token-file", "github", GITHUB_API_URL=github.address)
    assert result.returncode == 0, result.stderr
    assert len(github.events) == 1
    assert GITHUB_TOKEN not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ([], {"GITHUB_TOKEN": ""}, ["GITHUB_TOKEN", "there is no token"]),
        ([], {"GITHUB_TOKEN": "two\nlines"}, ["GITHUB_TOKEN", "not a token"]),
        ([], {"GITHUB_TOKEN": "expired"}, ["401", "the token is refused"]),
        (["--token-file", "github"], {}, ["github"]),
        (["--repository", "acme/other"], {}, ["acme/other", "404", "no such repository"]),
        (["--repository", "acme/renamed"], {}, ["moved to", "/repositories/7"]),
        ([], {"GITHUB_API_URL": "api.example.org"}, ["GITHUB_API_URL", "https://"]),
    ],
)
def test_user_errors_are_one_line(tmp_path, github, arguments, environment, words):
    valid = {"GITHUB_API_URL": github.address, "GITHUB_TOKEN": GITHUB_TOKEN}
    assert_one_line(dispatch(tmp_path, *arguments, **valid | environment), *words)
    assert not github.events


@pytest.mark.parametrize(
    ("address", "failures", "words"),
    [
        ("http://127.0.0.1:1", [], "/repos/acme/sentiment/dispatches: no response (Connection ref"),
        (None, [503] * 3, "the server failed three times"),
        (None, [500], "500; try later"),
    ],
)
def test_failing_server_is_unavailable(tmp_path, github, address, failures, words):
    github.failures = failures
    environment = {"GITHUB_API_URL": address or github.address, "GITHUB_TOKEN": GITHUB_TOKEN}
    result = dispatch(tmp_path, **environment)
    assert_one_line(result, words, exit_code=UnavailableError.exit_code)
    assert not github.events
