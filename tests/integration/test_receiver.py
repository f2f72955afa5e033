"""The receiver as a real process, with webhooks such as Alertmanager sends."""

import http.client
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitoring.settings import listen_address
from tests.conftest import REPO, assert_one_line, free_port, needs_ipv6, running

TOKEN = "a-token-of-this-test"
STATE = "state/sentiment.sentiment.json"


class Receiver:
    """A client of a running receiver."""

    def __init__(self, address: str) -> None:
        self.address = address

    def request(self, path: str, body: bytes | None = None, token: str = TOKEN) -> tuple[int, str]:
        """Send GET, or POST with a body, and return status and text of the response."""
        request = urllib.request.Request(
            self.address + path, body, {"authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def notify(self, fingerprint: str, status: str = "firing", service: str = "sentiment") -> str:
        """Send one alert as Alertmanager does, and return the receiver's decision."""
        labels = {"alertname": "SentimentDrift", "namespace": "sentiment", "service": service}
        alert = {"fingerprint": fingerprint, "startsAt": "2026-01-01T00:00:00Z", "status": status}
        body = {"alerts": [alert | {"labels": labels}]}
        code, text = self.request("/alerts", json.dumps(body).encode())
        assert code == 200, text
        name, _, decision = text.strip().partition(": ")
        assert name == f"sentiment/{service}"
        return decision

    def metric(self, name: str, service: str = "sentiment", **labels: str) -> float:
        labels |= {"namespace": "sentiment", "service": service}
        families = text_string_to_metric_families(self.request("/metrics")[1])
        (value,) = [
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        ]
        return value

    def wait_for(self, outcome: str, runs: int = 1, service: str = "sentiment") -> None:
        deadline = time.monotonic() + 20
        while self.metric("retraining_run_count_total", service, outcome=outcome) < runs:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@contextmanager
def receiver(directory: Path, command: str | list[str], *flags: str, **environment: str):
    """Run a receiver that starts a command, given as a list or as a line of shell."""
    (directory / "token").write_text(TOKEN + "\n")
    port = free_port()
    program = [sys.executable, "-m", "monitoring.receiver", "--port", str(port)]
    program += ["--token-file", "token", "--state", "state", *flags, "--"]
    program += ["sh", "-c", command] if isinstance(command, str) else command
    address = f"http://127.0.0.1:{port}"
    with running(program, f"{address}/metrics", directory, PYTHONPATH=str(REPO), **environment):
        yield Receiver(address)


def test_cool_down_outlives_a_restart(tmp_path):
    """Also: one run at a time, and an answer before the command ends."""
    command = "echo ran >> log; until [ -e go ]; do sleep 0.05; done"
    with receiver(tmp_path, command) as running_receiver:
        assert running_receiver.notify("a", "resolved") == "resolved"
        started = time.monotonic()
        assert running_receiver.notify("a") == "started"
        assert time.monotonic() - started < 5  # the command is still running
        assert running_receiver.notify("a") == "running"
        assert running_receiver.notify("b") == "running"
        assert running_receiver.metric("retraining_running") == 1
        (tmp_path / "go").touch()
        running_receiver.wait_for("succeeded")
        assert running_receiver.metric("retraining_running") == 0
        assert running_receiver.notify("a") == "known"
        assert running_receiver.notify("b") == "cooling down"
        notifications = "retraining_notification_count_total"
        assert running_receiver.metric(notifications, outcome="running") == 2
    with receiver(tmp_path, command) as running_receiver:
        assert running_receiver.notify("a") == "known"
        assert running_receiver.notify("b") == "cooling down"
        assert running_receiver.metric("retraining_started_timestamp_seconds") > time.time() - 60
    with receiver(tmp_path, command, "--cool-down", "0.01") as running_receiver:
        assert running_receiver.notify("a") == "started"
        running_receiver.wait_for("succeeded")
    assert (tmp_path / "log").read_text() == "ran\nran\n"


def test_start_in_the_future_blocks_once(tmp_path):
    """The clock was set back: the cool-down goes on from now, not from a day ahead."""
    ahead = {"firing": ["a 2026-01-01T00:00:00Z"], "started": time.time() + 1e6, "outcome": "none"}
    (tmp_path / "state").mkdir()
    (tmp_path / STATE).write_text(json.dumps(ahead))
    with receiver(tmp_path, "true", "--cool-down", "1") as running_receiver:
        assert running_receiver.notify("a") == "known"
        assert running_receiver.metric("retraining_started_timestamp_seconds") <= time.time()
        assert running_receiver.notify("a") == "known"
        time.sleep(1)
        assert running_receiver.notify("a") == "started"
    assert (tmp_path / "server.log").read_text().count("is in the future") == 1


@needs_ipv6
def test_all_addresses_are_answered(tmp_path):
    with receiver(tmp_path, "true", "--host", "::") as by_ipv4:
        assert by_ipv4.notify("a", "resolved") == "resolved"
        by_ipv6 = Receiver(by_ipv4.address.replace("127.0.0.1", "[::1]"))
        assert by_ipv6.notify("a", "resolved") == "resolved"


def test_all_addresses_without_ipv6(monkeypatch):
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    assert listen_address("::") == "0.0.0.0"  # noqa: S104
    assert listen_address("127.0.0.1") == "127.0.0.1"


def test_interrupted_run_has_its_cool_down(tmp_path):
    with receiver(tmp_path, "exec sleep 60") as running_receiver:
        assert running_receiver.notify("a") == "started"
    with receiver(tmp_path, "exec sleep 60") as running_receiver:
        assert running_receiver.notify("a") == "known"


def test_failed_commands_are_counted(tmp_path):
    with receiver(tmp_path, "exit 3", "--cool-down", "1e-6") as running_receiver:
        for runs in (1, 2):
            assert running_receiver.notify("a") == "started"
            running_receiver.wait_for("failed", runs)


def test_late_heartbeat_is_unavailable(tmp_path):
    heartbeat = b'{"alerts": []}'
    with receiver(tmp_path, "true", "--silence", "1") as running_receiver:
        assert running_receiver.request("/heartbeat")[0] == 200
        time.sleep(1.1)
        assert running_receiver.request("/heartbeat")[0] == 503
        assert running_receiver.request("/heartbeat", heartbeat)[0] == 200
        assert running_receiver.request("/heartbeat")[0] == 200
        assert running_receiver.request("/heartbeat", heartbeat, "wrong")[0] == 401


TWO = """
- {namespace: sentiment, service: sentiment, retrain: [one]}
- {namespace: sentiment, service: german, retrain: [--param=name=german, two]}
"""


def test_each_service_has_its_retraining(tmp_path):
    """The alert's labels choose; a run or a cool-down of one service holds up no other."""
    (tmp_path / "services.yaml").write_text(TWO)
    command = ["sh", "-c", 'echo "$@" >> log; until [ -e "go-$#" ]; do sleep 0.05; done', "sh"]
    with receiver(tmp_path, command, "--services", "services.yaml") as running_receiver:
        assert running_receiver.notify("a") == "started"
        assert running_receiver.notify("b", service="german") == "started"
        assert running_receiver.notify("a") == "running"
        (tmp_path / "go-2").touch()
        running_receiver.wait_for("succeeded", service="german")
        assert running_receiver.metric("retraining_running", "german") == 0
        assert running_receiver.metric("retraining_running") == 1
        assert running_receiver.notify("b", service="german") == "known"
        assert running_receiver.notify("a") == "running"
        assert running_receiver.notify("c", service="flowers") == "unknown"
        (tmp_path / "go-1").touch()
        running_receiver.wait_for("succeeded")
    lines = (tmp_path / "log").read_text().splitlines()
    assert sorted(lines) == ["--param=name=german two", "one"]
    assert "sentiment/flowers: not one of --services" in (tmp_path / "server.log").read_text()
    with receiver(tmp_path, command, "--services", "services.yaml") as running_receiver:
        assert running_receiver.notify("a") == "known"
        assert running_receiver.notify("b", service="german") == "known"


def test_one_notification_starts_every_service_in_it(tmp_path):
    (tmp_path / "services.yaml").write_text(TWO)
    alerts = [
        {
            "fingerprint": service,
            "startsAt": "2026-01-01T00:00:00Z",
            "status": status,
            "labels": {"namespace": "sentiment", "service": service},
        }
        for service, status in (("sentiment", "resolved"), ("german", "firing"))
    ]
    with receiver(tmp_path, "true", "--services", "services.yaml") as running_receiver:
        code, text = running_receiver.request("/alerts", json.dumps({"alerts": alerts}).encode())
    assert (code, text) == (200, "sentiment/sentiment: resolved\nsentiment/german: started\n")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with receiver(tmp_path_factory.mktemp("receiver"), "false") as running_receiver:
        yield running_receiver


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"alerts": 1}', b'{"alerts": [{"status": "firing"}]}']
)
def test_wrong_webhook_is_a_bad_request(shared, body):
    assert shared.request("/alerts", body)[0] == 400


def test_wrong_token_is_unauthorized(shared):
    assert shared.request("/alerts", b'{"alerts": []}', "wrong")[0] == 401


def test_large_body_is_refused_unread(shared):
    connection = http.client.HTTPConnection(shared.address.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", "/alerts")
    connection.putheader("authorization", f"Bearer {TOKEN}")
    connection.putheader("content-length", "2000000")
    connection.endheaders()  # and no body
    assert connection.getresponse().status == 400


def test_unknown_path_is_not_found(shared):
    assert shared.request("/elsewhere", b'{"alerts": []}')[0] == 404
    assert shared.request("/elsewhere")[0] == 404


SERVICE = "{namespace: a, service: b}"


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("token", None, "--token-file token: No such file"),
        ("token", "\n", "--token-file token: it is empty"),
        ("token", b"\xff\xfe", "--token-file token: not a text in UTF-8"),
        (STATE, "{", STATE),
        (STATE, "[]", f"{STATE}: not a receiver's state"),
        ("state", "", "state: File exists"),
        ("services.yaml", None, "--services services.yaml: No such file"),
        ("services.yaml", "[", "--services services.yaml: not YAML"),
        ("services.yaml", "{}", "--services services.yaml: not a list of services"),
        ("services.yaml", "[a]", "services.yaml, entry 1: not a mapping"),
        ("services.yaml", "[{namespace: a}]", "entry 1: service must be a name of Kubernetes"),
        ("services.yaml", "[{namespace: A, service: b}]", "entry 1: namespace must be a name"),
        ("services.yaml", "[{namespace: a, service: ../b}]", "entry 1: service must be a name"),
        ("services.yaml", "[{namespace: a, service: b, name: c}]", "entry 1: unknown key name"),
        ("services.yaml", "[{namespace: a, service: b, model: 7}]", "entry 1: model must be"),
        ("services.yaml", "[{namespace: a, service: b, retrain: x}]", "entry 1: retrain must be"),
        ("services.yaml", f"[{SERVICE}, {SERVICE}]", "services.yaml: a/b is there twice"),
    ],
)
def test_file_errors_are_one_line(tmp_path, file, content, words):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "services.yaml").write_text(
        f"[{SERVICE}, {{namespace: sentiment, service: sentiment}}]"
    )
    path = tmp_path / file
    path.unlink(missing_ok=True)
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    program = [sys.executable, "-m", "monitoring.receiver", "--port", str(free_port())]
    program += ["--token-file", "token", "--state", "state", "--services", "services.yaml"]
    program += ["--", "true"]
    result = subprocess.run(
        program, cwd=tmp_path, env={"PYTHONPATH": str(REPO)}, capture_output=True, text=True
    )
    assert_one_line(result, words)
    assert result.stderr.startswith("receiver: error: ")
