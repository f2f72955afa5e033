"""The receiver of alerts, a real process, told what Alertmanager tells it."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import REPO, free_port, running

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
def receiver(directory: Path, command: str, *flags: str):
    """Run it with a command in the shell."""
    (directory / "token").write_text(TOKEN + "\n")
    port = free_port()
    program = [sys.executable, "-m", "pipelines.receiver", "--port", str(port)]
    program += ["--token-file", "token", "--state", "state.json", *flags, "--", "sh", "-c", command]
    address = f"http://127.0.0.1:{port}"
    with running(program, f"{address}/metrics", directory, PYTHONPATH=str(REPO)):
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
    assert told.ask("/alerts", b" " * 2_000_000)[0] == 400
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
    program = [sys.executable, "-m", "pipelines.receiver", "--port", str(free_port())]
    program += ["--token-file", "token", "--state", "state.json", "--", "true"]
    result = subprocess.run(
        program, cwd=tmp_path, env={"PYTHONPATH": str(REPO)}, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("receiver: error: ")
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
