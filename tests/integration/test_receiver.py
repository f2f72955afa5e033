"""The receiver of alerts, a real process, told what Alertmanager tells it.

The last tests have it start the workflow on GitHub, for which a server of ours stands in.
"""

import http.client
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import REPO, assert_one_line, free_port, running

TOKEN = "a-token-of-this-test"


class Receiver:
    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, body: bytes | None = None, token: str = TOKEN) -> tuple[int, str]:
        request = urllib.request.Request(
            self.address + path, body, {"authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def tell(self, fingerprint: str, status: str = "firing") -> str:
        alert = {"fingerprint": fingerprint, "startsAt": "2026-01-01T00:00:00Z", "status": status}
        code, answer = self.ask("/alerts", json.dumps({"alerts": [alert]}).encode())
        assert code == 200, answer
        return answer.strip()

    def counted(self, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(self.ask("/metrics")[1])
        (value,) = [
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        ]
        return value

    def wait(self, outcome: str, runs: int = 1) -> None:
        deadline = time.monotonic() + 20
        while self.counted("retraining_run_count_total", outcome=outcome) < runs:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@contextmanager
def receiver(directory: Path, command: str | list[str], *flags: str, **environment: str):
    """Run it with a command, or one in the shell."""
    (directory / "token").write_text(TOKEN + "\n")
    port = free_port()
    program = [sys.executable, "-m", "monitoring.receiver", "--port", str(port)]
    program += ["--token-file", "token", "--state", "state.json", *flags, "--"]
    program += ["sh", "-c", command] if isinstance(command, str) else command
    address = f"http://127.0.0.1:{port}"
    with running(program, f"{address}/metrics", directory, PYTHONPATH=str(REPO), **environment):
        yield Receiver(address)


def test_one_run_at_a_time_and_a_cool_down_that_outlives_a_restart(tmp_path):
    command = "echo ran >> log; until [ -e go ]; do sleep 0.05; done"
    with receiver(tmp_path, command) as told:
        assert told.tell("a", "resolved") == "resolved"
        started = time.monotonic()
        assert told.tell("a") == "started"
        assert time.monotonic() - started < 5  # it did not wait for the command
        assert told.tell("a") == told.tell("b") == "running"
        assert told.counted("retraining_running") == 1
        (tmp_path / "go").touch()
        told.wait("succeeded")
        assert told.counted("retraining_running") == 0
        assert told.tell("a") == "known"
        assert told.tell("b") == "cooling down"
        assert told.counted("retraining_notification_count_total", outcome="running") == 2
    with receiver(tmp_path, command) as told:
        assert told.tell("a") == "known"
        assert told.tell("b") == "cooling down"
        assert told.counted("retraining_started_timestamp_seconds") > time.time() - 60
    with receiver(tmp_path, command, "--cool-down", "0.01") as told:
        assert told.tell("a") == "started"
        told.wait("succeeded")
    assert (tmp_path / "log").read_text() == "ran\nran\n"


def test_a_run_that_was_cut_off_by_a_restart_has_its_cool_down(tmp_path):
    with receiver(tmp_path, "exec sleep 60") as told:
        assert told.tell("a") == "started"
    with receiver(tmp_path, "exec sleep 60") as told:
        assert told.tell("a") == "known"


def test_a_command_that_fails_is_counted(tmp_path):
    with receiver(tmp_path, "exit 3", "--cool-down", "0.01") as told:
        for runs in (1, 2):
            assert told.tell("a") == "started"
            told.wait("failed", runs)


def test_the_heart_must_be_heard(tmp_path):
    with receiver(tmp_path, "true", "--silence", "1") as told:
        assert told.ask("/heartbeat")[0] == 200
        time.sleep(1.1)
        assert told.ask("/heartbeat")[0] == 503
        assert told.ask("/heartbeat", b'{"alerts": []}')[0] == 200
        assert told.ask("/heartbeat")[0] == 200
        assert told.ask("/heartbeat", b'{"alerts": []}', "wrong")[0] == 401


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"alerts": 1}', b'{"alerts": [{"status": "firing"}]}']
)
def test_what_is_no_webhook_is_refused(told, body):
    assert told.ask("/alerts", body)[0] == 400


def test_strangers_and_floods_are_refused(told):
    body = b'{"alerts": []}'
    assert told.ask("/alerts", body, "wrong")[0] == 401
    flood = http.client.HTTPConnection(told.address.removeprefix("http://"), timeout=30)
    flood.putrequest("POST", "/alerts")
    flood.putheader("authorization", f"Bearer {TOKEN}")
    flood.putheader("content-length", "2000000")
    flood.endheaders()  # it answers without waiting for the body
    assert flood.getresponse().status == 400
    assert told.ask("/elsewhere", body)[0] == 404
    assert told.ask("/elsewhere")[0] == 404


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    with receiver(tmp_path_factory.mktemp("receiver"), "false") as told:
        yield told


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("token", None, "token"),
        ("token", "\n", "--token-file"),
        ("state.json", "{", "state.json"),
    ],
)
def test_errors_are_one_line(tmp_path, file, content, words):
    (tmp_path / "token").write_text(TOKEN)
    path = tmp_path / file
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)
    program = [sys.executable, "-m", "monitoring.receiver", "--port", str(free_port())]
    program += ["--token-file", "token", "--state", "state.json", "--", "true"]
    result = subprocess.run(
        program, cwd=tmp_path, env={"PYTHONPATH": str(REPO)}, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("receiver: error: ")
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


GITHUB_TOKEN = "a-token-of-github"
DISPATCH = [sys.executable, "-m", "monitoring.dispatch", "--repository", "acme/sentiment"]


class StandInForGitHub(ThreadingHTTPServer):
    """Takes what GitHub documents of POST /repos/OWNER/NAME/dispatches, and keeps the events."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _GitHub)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.events: list[dict] = []
        self.ill: list[int] = []  # statuses of the next answers


class _GitHub(BaseHTTPRequestHandler):
    server: StandInForGitHub

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(self.status(body))
        self.send_header("location", f"{self.server.address}/repositories/7/dispatches")
        self.send_header("content-length", "0")
        self.end_headers()

    def status(self, body: dict) -> int:
        if self.server.ill:
            return self.server.ill.pop()
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


def test_drift_starts_the_workflow_once_on_a_stand_in_for_github(tmp_path, github):
    there = {"GITHUB_API_URL": f"{github.address}/", "GITHUB_TOKEN": GITHUB_TOKEN}
    with receiver(tmp_path, DISPATCH, **there) as told:
        assert told.tell("a") == "started"
        told.wait("succeeded")
        assert told.tell("a") == "known"
        assert told.tell("b") == "cooling down"
    assert github.events == [{"event_type": "drift"}]
    workflow = yaml.safe_load((REPO / ".github/workflows/retrain.yml").read_text())
    assert workflow[True]["repository_dispatch"]["types"] == ["drift"]  # YAML 1.1 reads on as yes


def dispatch(directory: Path, *arguments: str, **environment: str):
    return subprocess.run(
        [*DISPATCH, *arguments],
        cwd=directory,
        env={"PYTHONPATH": str(REPO), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_dispatch_takes_a_file_and_asks_an_ill_stand_in_again(tmp_path, github):
    (tmp_path / "github").write_text(f"{GITHUB_TOKEN}\n")
    github.ill = [502, 503]
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
        ([], {"GITHUB_API_URL": "http://127.0.0.1:1"}, ["127.0.0.1:1", "nobody answers"]),
    ],
)
def test_dispatch_says_in_one_line_what_is_wrong(tmp_path, github, arguments, environment, words):
    there = {"GITHUB_API_URL": github.address, "GITHUB_TOKEN": GITHUB_TOKEN}
    assert_one_line(dispatch(tmp_path, *arguments, **there | environment), *words)
    assert not github.events


def test_dispatch_gives_up_on_a_stand_in_that_stays_ill(tmp_path, github):
    github.ill = [503] * 3
    there = {"GITHUB_API_URL": github.address, "GITHUB_TOKEN": GITHUB_TOKEN}
    assert_one_line(dispatch(tmp_path, **there), "asked three times")
    assert not github.events
