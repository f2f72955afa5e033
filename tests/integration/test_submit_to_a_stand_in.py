"""submit, against a stand-in for the API server of Kubeflow Pipelines, which does not run here.

The stand-in keeps its state in memory, and takes and gives what the published v2beta1 models of
``kfp_server_api`` say, so that a field of another name does not pass; it runs nothing.
"""

import datetime
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import pytest
import yaml

from pipelines import follow, submit
from tests.conftest import REPO, free_port

IMAGE = f"registry.example.org/sentiment-train@sha256:{'0a' * 32}"
API = "/apis/v2beta1"
COLLECTIONS = {
    "pipelines": ("V2beta1Pipeline", "pipeline_id"),
    "versions": ("V2beta1PipelineVersion", "pipeline_version_id"),
    "experiments": ("V2beta1Experiment", "experiment_id"),
    "runs": ("V2beta1Run", "run_id"),
    "recurringruns": ("V2beta1RecurringRun", "recurring_run_id"),
}


class StandIn(ThreadingHTTPServer):
    """What the tests set and see of the server."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.host = f"http://127.0.0.1:{self.server_port}"
        self.kept: dict[str, list[dict[str, Any]]] = {name: [] for name in COLLECTIONS}
        self.numbers = {name: itertools.count(1) for name in COLLECTIONS}
        self.token: str | None = None
        self.cookie: str | None = None
        self.multi_user = False
        self.states: list[tuple[str, list[dict[str, Any]]]] = [("SUCCEEDED", [])]
        self.asked = 0
        self.expire_after: int | None = None
        self.hiccup: str | None = None  # what happens once to the next question about a run
        self.login_after: int | None = None
        self.forbidden: str | None = None
        self.closing = 0
        self.stuck = False
        self.late_version: dict[str, Any] | None = None


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, status: int, body: object) -> None:
        data = json.dumps(body, default=str).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def page(self, text: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def refused(self) -> bool:
        self.server.asked += 1
        expired = self.server.expire_after is not None
        expired = expired and self.server.asked > self.server.expire_after
        if self.server.login_after is not None and self.server.asked > self.server.login_after:
            self.page("<html>Log in</html>")
            return True
        if self.server.forbidden and self.command == "POST":
            self.answer(403, {"error": self.server.forbidden, "code": 7})
            return True
        token = self.server.token
        if expired or (token and self.headers.get("authorization") != f"Bearer {token}"):
            self.answer(401, {"error": "Unauthenticated", "code": 16})
            return True
        if self.server.cookie and self.headers.get("cookie") != self.server.cookie:
            self.send_response(302)
            self.send_header("location", "/dex/auth")
            self.end_headers()
            return True
        return False

    def body(self) -> Any:
        return self.rfile.read(int(self.headers["content-length"]))

    def do_GET(self) -> None:
        if self.refused():
            return None
        url = urlsplit(self.path)
        query = {key: value[0] for key, value in parse_qs(url.query).items()}
        if not url.path.startswith(API):
            return self.answer(404, {"error": "not found"})
        parts = url.path.removeprefix(f"{API}/").split("/")
        if parts == ["healthz"]:
            return self.answer(200, {"multi_user": self.server.multi_user})
        if parts[0] == "runs" and len(parts) == 2:
            hiccup, self.server.hiccup = self.server.hiccup, None
            if hiccup == "503":
                return self.answer(503, {"error": "upstream"})
            if hiccup == "gone":
                for _ in range(4):  # as often as the client asks by itself
                    self.server.closing += 1
            if self.server.closing:
                self.server.closing -= 1
                self.close_connection = True
                return self.connection.shutdown(socket.SHUT_RDWR)
            state, tasks = self.server.states[0]
            if len(self.server.states) > 1:
                self.server.states.pop(0)
            (run,) = [r for r in self.server.kept["runs"] if r["run_id"] == parts[1]]
            return self.answer(200, run | {"state": state, "run_details": {"task_details": tasks}})
        name = "versions" if parts[-1] == "versions" else parts[0]
        found = self.server.kept[name]
        if name == "versions":
            found = [v for v in found if v["pipeline_id"] == parts[1]]
        if name == "recurringruns":
            found = [r for r in found if r["experiment_id"] == query["experiment_id"]]
        if "filter" in query:
            (predicate,) = json.loads(query["filter"])["predicates"]
            assert predicate["operation"] in (1, "EQUALS")
            found = [each for each in found if each[predicate["key"]] == predicate["stringValue"]]
        key = {"versions": "pipeline_versions", "recurringruns": "recurringRuns"}.get(name, name)
        return self.answer(200, {key: found} if found else {})

    def do_POST(self) -> None:
        if self.refused():
            return None
        url = urlsplit(self.path)
        if url.path == f"{API}/pipelines/upload_version":
            query = {key: value[0] for key, value in parse_qs(url.query).items()}
            (text,) = re.findall(rb"\r\n\r\n(.*?)\r\n--", self.body(), re.DOTALL)
            documents = list(yaml.safe_load_all(text))
            fields = {"pipeline_id": query["pipelineid"], "display_name": query["name"]}
            fields["pipeline_spec"] = {"pipeline_spec": documents[0], "platform_spec": documents[1]}
            return self.keep("versions", fields)
        name = url.path.removeprefix(f"{API}/")
        return self.keep(name, json.loads(self.body()))

    def do_DELETE(self) -> None:
        if self.refused():
            return
        if self.server.stuck:
            self.answer(400, {"error": "stuck", "code": 3})
            return
        name, wanted = self.path.removeprefix(f"{API}/").split("/")
        kept = self.server.kept[name]
        kept[:] = [each for each in kept if each[COLLECTIONS[name][1]] != wanted]
        self.answer(200, {})

    def keep(self, name: str, fields: dict[str, Any]) -> None:
        model, key = COLLECTIONS[name]
        known = getattr(kfp_server_api, model).attribute_map.values()
        unknown = set(fields) - set(known)
        if unknown:
            return self.answer(400, {"error": f"unknown field {unknown}", "code": 3})
        if name == "versions" and self.server.late_version is not None:
            self.server.kept[name].append(fields | self.server.late_version)
            self.server.late_version = None
        if name == "versions" and any(
            v["display_name"] == fields["display_name"] for v in self.server.kept[name]
        ):
            return self.answer(409, {"error": "already exist", "code": 6})
        if not (fields.get("runtime_config") or {}).get("parameters"):
            fields.pop("runtime_config", None)  # as the server does
        made = {
            **fields,
            key: f"{name}-{next(self.server.numbers[name])}",
            "created_at": datetime.datetime.now(datetime.UTC).isoformat(),
        }
        self.server.kept[name].append(made)
        return self.answer(200, made)


@pytest.fixture
def server():
    with StandIn() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    for name in ("KFP_TOKEN", "KFP_COOKIE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.01)


def say(server: StandIn, *arguments: str) -> int:
    return submit.main(["--host", server.host, "--pipeline", "training", *arguments])


def pinned(server: StandIn, *arguments: str) -> int:
    return say(server, "--image", IMAGE, *arguments)


def error_of(capsys) -> str:
    said = capsys.readouterr().err
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("submit: error: ")]
    return line


def test_twice_the_same_is_one_version_and_two_runs(server):
    for _ in range(2):
        assert (
            pinned(server, "--param", "max_n=2", "--param", 'candidates=["default", "max_n=1"]')
            == 0
        )
    kept = server.kept
    assert [len(kept[name]) for name in ("pipelines", "versions", "experiments", "runs")] == [
        *(1, 1, 1, 2)
    ]
    (pipeline,), (version,), (run, _) = kept["pipelines"], kept["versions"], kept["runs"]
    assert pipeline["display_name"] == "training"
    assert re.fullmatch(r"training-[0-9a-f]{12}", version["display_name"])
    assert run["pipeline_version_reference"] == {
        "pipeline_id": pipeline["pipeline_id"],
        "pipeline_version_id": version["pipeline_version_id"],
    }
    assert run["runtime_config"]["parameters"] == {"max_n": 2, "candidates": ["default", "max_n=1"]}
    assert run["experiment_id"] == kept["experiments"][0]["experiment_id"]
    executors = version["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    assert {each["container"]["image"] for each in executors.values()} == {IMAGE}
    assert "kubernetes" in version["pipeline_spec"]["platform_spec"]["platforms"]


def test_another_image_is_another_version(server):
    assert pinned(server) == 0
    assert say(server, "--image", IMAGE.replace("0a", "0b")) == 0
    assert len(server.kept["pipelines"]) == 1
    assert len(server.kept["versions"]) == 2


def test_the_compiled_tag_must_be_allowed(server, capsys):
    assert say(server) == 1
    line = error_of(capsys)
    assert "localhost/sentiment-train:0.1.0" in line
    assert "--allow-unpinned" in line
    assert not server.asked
    assert say(server, "--allow-unpinned") == 0
    assert len(server.kept["runs"]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--param", "max_m=2"], "--param max_m: training has no such parameter"),
        (["--param", "max_n=two"], "--param max_n=two: it takes a whole number"),
        (["--pipeline", "trainning"], "--pipeline trainning"),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_sent(server, capsys, arguments, words):
    assert pinned(server, *arguments) == 1
    assert words in error_of(capsys)
    assert not server.asked


def test_dry_run_changes_nothing_and_says_what_would_be(server, capsys):
    assert pinned(server, "--dry-run", "--param", "max_n=2") == 0
    said = capsys.readouterr().err
    assert "would upload and run training-" in said
    assert "{'max_n': 2}" in said
    assert not any(server.kept.values())
    assert pinned(server) == 0
    assert pinned(server, "--dry-run") == 0
    assert len(server.kept["runs"]) == 1


def test_a_token_from_the_environment_or_a_file(server, capsys, monkeypatch, tmp_path):
    server.token = "right-token-1"
    assert pinned(server) == 1
    assert "refuses the credentials" in error_of(capsys)
    monkeypatch.setenv("KFP_TOKEN", "stale-token-1")
    assert pinned(server) == 1
    line = error_of(capsys)
    assert "may have expired" in line
    assert "stale-token-1" not in line
    monkeypatch.setenv("KFP_TOKEN", "right-token-1")
    assert pinned(server) == 0
    monkeypatch.delenv("KFP_TOKEN")
    (tmp_path / "token").write_text("right-token-1\n")
    assert pinned(server, "--token-file", str(tmp_path / "token")) == 0
    assert len(server.kept["runs"]) == 2
    assert pinned(server, "--token-file", str(tmp_path / "none")) == 1
    assert "--token-file" in error_of(capsys)


def test_the_cookie_of_a_session(server, capsys, monkeypatch):
    server.cookie = "authservice_session=abc"
    assert pinned(server) == 1
    assert "session may have expired" in error_of(capsys)
    monkeypatch.setenv("KFP_COOKIE", "authservice_session=abc")
    assert pinned(server) == 0


def test_a_token_that_expires_on_the_way(server, capsys, monkeypatch):
    server.token = "right-token-1"
    monkeypatch.setenv("KFP_TOKEN", "right-token-1")
    server.states = [("RUNNING", [])]
    server.expire_after = 12
    assert pinned(server, "--wait") == 1
    assert "may have expired" in error_of(capsys)


def test_wrong_hosts(server, capsys):
    port = free_port()
    for arguments, words in (
        (["--host", f"http://127.0.0.1:{port}"], "nobody answers"),
        (["--host", f"{server.host}/elsewhere"], "not a Kubeflow Pipelines API"),
    ):
        assert pinned(server, *arguments) == 1
        line = error_of(capsys)
        assert f"--host {arguments[1]}" in line
        assert words in line
    with pytest.raises(SystemExit, match="2"):
        pinned(server, "--host", "kubeflow.example.org")
    assert "say http:// or https://" in capsys.readouterr().err


def test_a_server_of_several_users_asks_whose(server, capsys):
    server.multi_user = True
    assert pinned(server) == 1
    assert "--namespace" in error_of(capsys)
    assert pinned(server, "--namespace", "team-a", "--service-account", "runner") == 0
    assert server.kept["experiments"][0]["namespace"] == "team-a"
    assert server.kept["runs"][0]["service_account"] == "runner"


def task(name: str, state: str, **fields: Any) -> dict[str, Any]:
    """Return a node as the server makes it of Argo's: by name, and with no parent."""
    return {"display_name": name, "task_id": f"{name}-id", "state": state, **fields}


@pytest.mark.parametrize("hiccup", ["503", "gone"])
def test_waiting_shows_the_tasks_as_they_go(server, capsys, hiccup):
    server.states = [
        ("PENDING", []),
        (
            "RUNNING",
            [task("root", "RUNNING"), task("ingest", "RUNNING"), task("ingest-driver", "RUNNING")],
        ),
        (
            "RUNNING",
            [task("ingest", "SUCCEEDED"), task("validate", "RUNNING"), task("executor", "RUNNING")],
        ),
        ("SUCCEEDED", [task("ingest", "SUCCEEDED")]),
    ]
    server.hiccup = hiccup
    assert pinned(server, "--wait") == 0
    said = capsys.readouterr().err
    lines = [line.split(": ", 1)[1].split() for line in said.splitlines()]
    shown = [line for line in lines if line[-1] in ("running", "succeeded") and line[0] != "the"]
    assert shown == [
        ["ingest", "reviews", "running"],
        ["ingest", "reviews", "succeeded"],
        ["validate", "reviews", "running"],
    ]
    assert "asking again" in said


def test_a_run_that_fails_names_task_and_address(server, capsys):
    nodes = ["training-x7k2p", "root", "validate", "executor", "executor(0)", "executor(1)"]
    server.states = [
        ("RUNNING", []),
        ("FAILED", [*(task(name, "FAILED") for name in nodes), task("ingest", "SUCCEEDED")]),
    ]
    assert pinned(server, "--wait") == 1
    line = error_of(capsys)
    assert "the run failed in task validate reviews: " in line
    assert f"{server.host}/#/runs/details/runs-1" in line


def test_a_server_that_names_tasks_otherwise_still_says_which_failed(server, capsys):
    failed = task("something else", "FAILED", error={"code": 1, "message": "exit status 1"})
    server.states = [("FAILED", [failed, task("ingestion", "SUCCEEDED")])]
    assert pinned(server, "--wait") == 1
    assert "the run failed in task something else (exit status 1): " in error_of(capsys)


def test_a_session_that_ends_in_a_login_page_ends_the_wait(server, capsys, monkeypatch):
    server.states = [("RUNNING", [])]
    server.login_after = 12
    assert pinned(server, "--wait") == 1
    assert "session may have expired" in error_of(capsys)


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5, 6])
def test_a_login_page_at_any_other_moment_is_no_answer(server, capsys, after):
    server.login_after = after
    assert pinned(server) == 1
    assert "session may have expired" in error_of(capsys)


def test_a_server_that_goes_away_ends_the_wait(server, capsys, monkeypatch):
    monkeypatch.setattr(follow, "PATIENCE_SECONDS", 0.1)
    server.states = [("RUNNING", [])]
    server.closing = 10_000
    assert pinned(server, "--wait") == 1
    line = error_of(capsys)
    assert "no answer for 0.1 s" in line
    assert f"{server.host}/#/runs/details/runs-1" in line


def test_what_is_forbidden_is_said_in_the_servers_words(server, capsys):
    server.forbidden = "User 'ann' is not authorized: create pipelines in namespace 'b'"
    assert pinned(server) == 1
    assert server.forbidden in error_of(capsys)


def test_a_version_that_another_submission_has_just_made_is_taken(server):
    server.late_version = {"pipeline_version_id": "theirs"}
    assert pinned(server) == 0
    (run,) = server.kept["runs"]
    assert run["pipeline_version_reference"]["pipeline_version_id"] == "theirs"
    assert len(server.kept["versions"]) == 1


def test_a_run_that_was_stopped_is_no_success(server, capsys):
    server.states = [("CANCELED", [])]
    assert pinned(server, "--wait") == 1
    assert "the run canceled" in error_of(capsys)


def test_a_run_without_end(server, capsys):
    server.states = [("RUNNING", [])]
    assert pinned(server, "--wait", "--timeout", "0.2") == 1
    assert "--timeout" in error_of(capsys)


def test_a_schedule_is_made_once_and_replaced_when_it_changes(server, capsys):
    for _ in range(2):
        assert pinned(server, "--recurring", "30 2 * * 1") == 0
    (first,) = server.kept["recurringruns"]
    assert first["trigger"]["cron_schedule"]["cron"] == "0 30 2 * * 1"
    assert first["mode"] == "ENABLE"
    assert first["max_concurrency"] in (1, "1")
    assert not server.kept["runs"]
    assert pinned(server, "--recurring", "0 0 3 * * 1", "--param", "max_n=2") == 0
    (second,) = server.kept["recurringruns"]
    assert second["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 1"
    assert second["recurring_run_id"] != first["recurring_run_id"]
    with pytest.raises(SystemExit, match="2"):
        pinned(server, "--recurring", "daily")
    assert "'daily' has 1 fields" in capsys.readouterr().err


def test_a_schedule_that_a_stopped_submission_left_goes(server, capsys):
    assert pinned(server, "--recurring", "0 6 * * *") == 0
    server.stuck = True
    assert pinned(server, "--recurring", "0 7 * * *") == 1
    assert "stuck" in error_of(capsys)
    assert len(server.kept["recurringruns"]) == 2
    server.stuck = False
    assert pinned(server, "--recurring", "0 7 * * *") == 0
    (kept,) = server.kept["recurringruns"]
    assert kept["trigger"]["cron_schedule"]["cron"] == "0 0 7 * * *"


def test_a_schedule_of_another_service_account_is_another(server):
    assert pinned(server, "--recurring", "0 6 * * *", "--service-account", "old") == 0
    assert pinned(server, "--recurring", "0 6 * * *", "--service-account", "new") == 0
    (kept,) = server.kept["recurringruns"]
    assert kept["service_account"] == "new"
    del server.kept["recurringruns"][0]["pipeline_version_reference"]  # made of an inline spec
    assert pinned(server, "--recurring", "0 6 * * *") == 0
    assert "pipeline_version_reference" in server.kept["recurringruns"][0]


def test_the_command_itself(server, tmp_path):
    command = [sys.executable, "-m", "pipelines.submit", "--host", server.host]
    command += ["--pipeline", str(REPO / "pipelines/compiled/monitoring.yaml"), "--image", IMAGE]
    command += ["--param", "captured=s3://captured/today.jsonl", "--wait", "--run-name", "by hand"]
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(REPO)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert f"run {server.host}/#/runs/details/runs-1" in result.stderr
    assert server.kept["runs"][0]["display_name"] == "by hand"
    assert not list(Path(tmp_path).rglob("*.yaml"))
