"""``pipelines.submit`` against a stand-in for the API server of Kubeflow Pipelines."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from components.errors import UnavailableError, UserError
from pipelines import follow, submit
from tests.conftest import REPO, free_port
from tests.kubeflow import StandIn

IMAGE = f"registry.example.org/sentiment-train@sha256:{'0a' * 32}"


@pytest.fixture
def server():
    with StandIn() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch):
    for name in ("KFP_TOKEN", "KFP_COOKIE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")  # no cluster to find reasons in
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.01)


def submit_unpinned(server: StandIn, *arguments: str) -> int:
    return submit.main(["--host", server.host, "--pipeline", "training", *arguments])


def submit_pinned(server: StandIn, *arguments: str) -> int:
    return submit_unpinned(server, "--image", IMAGE, *arguments)


def read_error(capsys) -> str:
    """Return the one line of the error."""
    output = capsys.readouterr().err
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("submit: error: ")]
    return line


def test_equal_submissions_share_a_version(server):
    for _ in range(2):
        arguments = ["--param", "max_n=2", "--param", 'candidates=["default", "max_n=1"]']
        assert submit_pinned(server, *arguments) == 0
    stored = server.stored
    assert [len(stored[name]) for name in ("pipelines", "versions", "experiments", "runs")] == [
        *(1, 1, 1, 2)
    ]
    (pipeline,), (version,), (run, _) = stored["pipelines"], stored["versions"], stored["runs"]
    assert pipeline["display_name"] == "training"
    assert re.fullmatch(r"training-[0-9a-f]{12}", version["display_name"])
    assert run["pipeline_version_reference"] == {
        "pipeline_id": pipeline["pipeline_id"],
        "pipeline_version_id": version["pipeline_version_id"],
    }
    assert run["runtime_config"]["parameters"] == {"max_n": 2, "candidates": ["default", "max_n=1"]}
    assert run["experiment_id"] == stored["experiments"][0]["experiment_id"]
    executors = version["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    assert {each["container"]["image"] for each in executors.values()} == {IMAGE}
    assert "kubernetes" in version["pipeline_spec"]["platform_spec"]["platforms"]


def test_another_image_is_another_version(server):
    assert submit_pinned(server) == 0
    assert submit_unpinned(server, "--image", IMAGE.replace("0a", "0b")) == 0
    assert len(server.stored["pipelines"]) == 1
    assert len(server.stored["versions"]) == 2


def test_a_tagged_image_must_be_allowed(server, capsys):
    assert submit_unpinned(server) == 1
    line = read_error(capsys)
    assert "localhost/sentiment-train:0.1.0" in line
    assert "--allow-unpinned" in line
    assert not server.requests
    assert submit_unpinned(server, "--allow-unpinned") == 0
    assert len(server.stored["runs"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--param", "max_m=2"], "--param max_m: training has no such parameter"),
        (["--param", "max_n=two"], "--param max_n=two: it takes a whole number"),
        (["--pipeline", "trainning"], "--pipeline trainning"),
    ],
)
def test_arguments_are_checked_before_any_request(server, capsys, arguments, message):
    assert submit_pinned(server, *arguments) == 1
    assert message in read_error(capsys)
    assert not server.requests


def test_dry_run_changes_nothing_on_the_server(server, capsys):
    assert submit_pinned(server, "--dry-run", "--param", "max_n=2") == 0
    output = capsys.readouterr().err
    assert "would upload and run training-" in output
    assert "{'max_n': 2}" in output
    assert not any(server.stored.values())
    assert submit_pinned(server) == 0
    assert submit_pinned(server, "--dry-run") == 0
    assert len(server.stored["runs"]) == 1


def test_token_from_environment_or_file(server, capsys, monkeypatch, tmp_path):
    server.token = "right-token-1"
    assert submit_pinned(server) == 1
    assert "refuses the credentials" in read_error(capsys)
    monkeypatch.setenv("KFP_TOKEN", "stale-token-1")
    assert submit_pinned(server) == 1
    line = read_error(capsys)
    assert "may have expired" in line
    assert "stale-token-1" not in line
    monkeypatch.setenv("KFP_TOKEN", "right-token-1")
    assert submit_pinned(server) == 0
    monkeypatch.delenv("KFP_TOKEN")
    (tmp_path / "token").write_text("right-token-1\n")
    assert submit_pinned(server, "--token-file", str(tmp_path / "token")) == 0
    assert len(server.stored["runs"]) == 2
    assert submit_pinned(server, "--token-file", str(tmp_path / "none")) == 1
    assert "--token-file" in read_error(capsys)


def test_session_cookie_from_environment(server, capsys, monkeypatch):
    server.cookie = "authservice_session=abc"
    assert submit_pinned(server) == 1
    assert "session may have expired" in read_error(capsys)
    monkeypatch.setenv("KFP_COOKIE", "authservice_session=abc")
    assert submit_pinned(server) == 0


def test_a_token_that_expires_ends_the_wait(server, capsys, monkeypatch):
    server.token = "right-token-1"
    monkeypatch.setenv("KFP_TOKEN", "right-token-1")
    server.states = [("RUNNING", [])]
    server.expire_after = 12
    assert submit_pinned(server, "--wait") == 1
    assert "may have expired" in read_error(capsys)


def test_a_wrong_host_is_the_users_error(server, capsys):
    host = f"{server.host}/elsewhere"
    assert submit_pinned(server, "--host", host) == 1
    assert read_error(capsys).startswith(
        f"submit: error: --host {host}: not a Kubeflow Pipelines API, 404"
    )
    with pytest.raises(SystemExit, match="2"):
        submit_pinned(server, "--host", "kubeflow.example.org")
    assert "does not start with http:// or https://" in capsys.readouterr().err


def test_a_closed_port_is_an_outage(server, capsys):
    host = f"http://127.0.0.1:{free_port()}"
    assert submit_pinned(server, "--host", host) == UnavailableError.exit_code
    line = read_error(capsys)
    assert line == f"submit: error: --host {host}: no response (connection refused)"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_error_at_the_start_is_an_outage(server, capsys, status):
    server.health_status = status
    assert submit_pinned(server) == UnavailableError.exit_code
    assert f"the server answers {status} for" in read_error(capsys)
    assert not any(server.stored.values())


def test_a_500_of_the_api_is_an_outage(server, capsys):
    server.post_status = 500
    assert submit_pinned(server) == UnavailableError.exit_code
    assert f"--host {server.host}: 500, database is locked" in read_error(capsys)


def test_a_401_of_the_api_is_the_users_error(server, capsys):
    server.post_status = 401
    assert submit_pinned(server) == UserError.exit_code
    assert "refuses the credentials" in read_error(capsys)


def test_a_broken_connection_is_an_outage(server, capsys):
    server.break_posts = True
    assert submit_pinned(server) == UnavailableError.exit_code
    assert f"--host {server.host}: no response (" in read_error(capsys)


def test_a_multi_user_server_needs_a_namespace(server, capsys):
    server.multi_user = True
    assert submit_pinned(server) == 1
    assert "--namespace" in read_error(capsys)
    assert submit_pinned(server, "--namespace", "team-a", "--service-account", "runner") == 0
    assert server.stored["experiments"][0]["namespace"] == "team-a"
    assert server.stored["runs"][0]["service_account"] == "runner"


def test_a_single_user_server_would_drop_the_namespace(server, capsys):
    assert submit_pinned(server, "--namespace", "team-a") == 1
    line = read_error(capsys)
    assert f"--namespace team-a: {server.host} serves one user" in line
    assert "leave out --namespace" in line
    assert not any(server.stored.values())


@pytest.mark.parametrize("version", ["2.14.4", "2.15.0", "v1.8.5"])
def test_an_older_server_is_refused(server, capsys, version):
    server.version = version
    assert submit_pinned(server) == 1
    expected = f"--host {server.host}: Kubeflow Pipelines {version}; 2.16 or newer is needed"
    assert read_error(capsys) == f"submit: error: {expected}"
    assert not any(server.stored.values())


@pytest.mark.parametrize("version", ["2.16.0", "2.20.1", "3.0.0", "unknown"])
def test_a_newer_or_unnamed_server_is_accepted(server, version):
    server.version = version
    assert submit_pinned(server) == 0


def task(name: str, state: str, **fields: Any) -> dict[str, Any]:
    """Return a node as the server makes it of Argo's: by name, and with no parent."""
    return {"display_name": name, "task_id": f"{name}-id", "state": state, **fields}


@pytest.mark.parametrize("hiccup", ["503", "gone"])
def test_wait_logs_task_states_despite_an_outage(server, capsys, hiccup):
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
    assert submit_pinned(server, "--wait") == 0
    output = capsys.readouterr().err
    lines = [line.split(": ", 1)[1].split() for line in output.splitlines()]
    shown = [line for line in lines if line[-1] in ("running", "succeeded") and line[0] != "the"]
    assert shown == [
        ["ingest", "reviews", "running"],
        ["ingest", "reviews", "succeeded"],
        ["validate", "reviews", "running"],
    ]
    assert "trying again" in output


def test_a_failed_run_names_task_and_address(server, capsys):
    nodes = ["training-x7k2p", "root", "validate", "executor", "executor(0)", "executor(1)"]
    server.states = [
        ("RUNNING", []),
        ("FAILED", [*(task(name, "FAILED") for name in nodes), task("ingest", "SUCCEEDED")]),
    ]
    assert submit_pinned(server, "--wait") == 1
    line = read_error(capsys)
    assert "the run failed in task validate reviews: " in line
    assert f"{server.host}/#/runs/details/runs-1" in line


def test_a_login_page_ends_the_wait(server, capsys, monkeypatch):
    server.states = [("RUNNING", [])]
    server.login_after = 12
    assert submit_pinned(server, "--wait") == 1
    assert "session may have expired" in read_error(capsys)


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5, 6])
def test_a_login_page_is_never_an_answer(server, capsys, after):
    server.login_after = after
    assert submit_pinned(server) == 1
    assert "session may have expired" in read_error(capsys)


def test_a_silent_server_ends_the_wait(server, capsys, monkeypatch):
    monkeypatch.setattr(follow, "SILENCE_SECONDS", 0.1)
    server.states = [("RUNNING", [])]
    server.closing = 10_000
    assert submit_pinned(server, "--wait") == UnavailableError.exit_code
    line = read_error(capsys)
    assert "no answer of the server for 0.1 s" in line
    assert f"{server.host}/#/runs/details/runs-1" in line


def test_a_403_shows_the_servers_message(server, capsys):
    server.forbidden = "User 'ann' is not authorized: create pipelines in namespace 'b'"
    assert submit_pinned(server) == 1
    assert server.forbidden in read_error(capsys)


def test_a_concurrent_upload_is_used(server):
    server.late_version = {"pipeline_version_id": "theirs"}
    assert submit_pinned(server) == 0
    (run,) = server.stored["runs"]
    assert run["pipeline_version_reference"]["pipeline_version_id"] == "theirs"
    assert len(server.stored["versions"]) == 1


def test_a_canceled_run_is_an_error(server, capsys):
    server.states = [("CANCELED", [])]
    assert submit_pinned(server, "--wait") == 1
    assert "the run was canceled" in read_error(capsys)


def test_the_wait_ends_after_the_timeout(server, capsys):
    server.states = [("RUNNING", [])]
    assert submit_pinned(server, "--wait", "--timeout", "0.2") == 1
    assert "--timeout" in read_error(capsys)


def test_a_changed_schedule_replaces_the_old_one(server, capsys):
    for _ in range(2):
        assert submit_pinned(server, "--recurring", "30 2 * * 1") == 0
    (first,) = server.stored["recurringruns"]
    assert first["trigger"]["cron_schedule"]["cron"] == "0 30 2 * * 1"
    assert first["mode"] == "ENABLE"
    assert first["max_concurrency"] in (1, "1")
    assert not server.stored["runs"]
    assert submit_pinned(server, "--recurring", "0 0 3 * * 1", "--param", "max_n=2") == 0
    (second,) = server.stored["recurringruns"]
    assert second["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 1"
    assert second["recurring_run_id"] != first["recurring_run_id"]
    with pytest.raises(SystemExit, match="2"):
        submit_pinned(server, "--recurring", "daily")
    assert "'daily' has 1 fields" in capsys.readouterr().err


def test_a_leftover_schedule_is_deleted(server, capsys):
    assert submit_pinned(server, "--recurring", "0 6 * * *") == 0
    server.stuck = True
    assert submit_pinned(server, "--recurring", "0 7 * * *") == 1
    assert "stuck" in read_error(capsys)
    assert len(server.stored["recurringruns"]) == 2
    server.stuck = False
    assert submit_pinned(server, "--recurring", "0 7 * * *") == 0
    (schedule,) = server.stored["recurringruns"]
    assert schedule["trigger"]["cron_schedule"]["cron"] == "0 0 7 * * *"


def test_service_account_is_part_of_a_schedule(server):
    assert submit_pinned(server, "--recurring", "0 6 * * *", "--service-account", "old") == 0
    assert submit_pinned(server, "--recurring", "0 6 * * *", "--service-account", "new") == 0
    (schedule,) = server.stored["recurringruns"]
    assert schedule["service_account"] == "new"
    del server.stored["recurringruns"][0]["pipeline_version_reference"]  # made of an inline spec
    assert submit_pinned(server, "--recurring", "0 6 * * *") == 0
    assert "pipeline_version_reference" in server.stored["recurringruns"][0]


def test_submit_as_a_process(server, tmp_path):
    command = [sys.executable, "-m", "pipelines.submit", "--host", server.host]
    command += ["--pipeline", str(REPO / "pipelines/compiled/monitoring.yaml"), "--image", IMAGE]
    command += ["--param", "captured=s3://captured/today.jsonl", "--wait", "--run-name", "by hand"]
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(REPO)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert f"run {server.host}/#/runs/details/runs-1" in result.stderr
    assert server.stored["runs"][0]["display_name"] == "by hand"
    assert not list(Path(tmp_path).rglob("*.yaml"))
