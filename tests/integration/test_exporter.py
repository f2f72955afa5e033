"""The exporter: a real registry on SQLite, and a stand-in for Kubeflow's API server."""

import re
import socket
import subprocess
import sys
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from components.io import registry
from monitoring import exporter
from tests.conftest import REPO, assert_one_line, free_port, running
from tests.monitoring import kubeflow, record


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry.db")
    monkeypatch.chdir(tmp_path)
    with registry.connected() as client:
        record(client)


def collected(*flags: str) -> dict[tuple[str, ...], float]:
    metrics = exporter.PipelineMetrics(exporter.sources(exporter.parser().parse_args(flags)))
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def test_what_the_registry_holds_is_exported(recorded):
    found = collected()
    assert found["pipeline_version_count",] == 2
    assert found["pipeline_model_measure", "champion", "2", "accuracy"] == 0.93
    assert found["pipeline_model_measure", "challenger", "2", "log_loss"] == pytest.approx(0.07)
    outcomes = {key[1]: n for key, n in found.items() if key[0] == "pipeline_decision_count_total"}
    assert outcomes == {"promoted": 2, "refused": 1, "rolled_back": 0}
    first, last = (
        found["pipeline_decision_timestamp_seconds", "promoted", *moved]
        for moved in (("none", "1"), ("1", "2"))
    )
    assert 0 < last - first < 60
    assert found["pipeline_deployment_count_total", "staging", "rolled_back"] == 1
    assert found["pipeline_source_up", "mlflow"] == 1
    assert ("pipeline_source_up", "kubeflow") not in found


def test_runs_are_exported_of_a_stand_in_for_kubeflow(recorded):
    with kubeflow() as server:
        found = collected("--host", server.host)
    assert found["pipeline_runs", "training", "running"] == 1
    assert found["pipeline_runs", "training", "succeeded"] == 1
    assert found["pipeline_runs", "training", "failed"] == 1
    assert found["pipeline_run_duration_seconds", "training"] == 30 * 60
    assert found["pipeline_run_duration_seconds", "monitoring"] == 5 * 60
    failed, succeeded = (
        found["pipeline_run_timestamp_seconds", "training", state]
        for state in ("failed", "succeeded")
    )
    assert succeeded - failed == pytest.approx(70 * 60, abs=1)


def test_a_source_that_is_away_is_said_to_be_down_and_hides_no_other(recorded, monkeypatch, caplog):
    found = collected("--host", f"http://127.0.0.1:{free_port()}")
    assert found["pipeline_source_up", "kubeflow"] == 0
    assert found["pipeline_source_up", "mlflow"] == 1
    assert "no response" in caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert collected() == {("pipeline_source_up", "mlflow"): 0}


def test_an_empty_registry_has_no_champion_and_nothing_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry.db")
    found = collected()
    assert found["pipeline_version_count",] == 0
    assert found["pipeline_source_up", "mlflow"] == 1
    assert not [key for key in found if key[0].startswith(("pipeline_model", "pipeline_reg"))]


def test_the_command_serves_them(recorded, tmp_path):
    port = free_port()
    address = f"http://127.0.0.1:{port}/metrics"
    command = [sys.executable, "-m", "monitoring.exporter", "--port", str(port)]
    with (
        running(command, address, tmp_path / "exporter", PYTHONPATH=str(REPO)),
        urllib.request.urlopen(address, timeout=60) as response,
    ):
        text = response.read().decode()
    assert re.search(r"^pipeline_version_count 2\.0$", text, re.MULTILINE)
    assert list(text_string_to_metric_families(text))


def started(module: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"monitoring.{module}", *flags]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("module", ["exporter", "receiver"])
def test_a_port_that_is_taken_is_named(tmp_path, module):
    (tmp_path / "token").write_text("a token")
    files = ["--token-file", f"{tmp_path}/token"]
    more = [*files, "--state", f"{tmp_path}/state.json", "--", "true"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = started(module, "--port", port, *(more if module == "receiver" else []))
    assert_one_line(result, f"--port {port}: Address already in use")


@pytest.mark.parametrize("port", ["70000", "-1", "0", "http"])
def test_what_is_no_port_is_refused(capsys, port):
    with pytest.raises(SystemExit, match="2"):
        exporter.parser().parse_args([f"--port={port}"])
    assert "argument --port: " in capsys.readouterr().err
