"""The exporter with a real registry on SQLite, and a stand-in for Kubeflow's API server."""

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
    """Set MLFLOW_TRACKING_URI to a registry with versions, decisions and deployments."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry.db")
    monkeypatch.chdir(tmp_path)
    with registry.connected(create=True) as client:
        record(client)


def collect(*flags: str) -> dict[tuple[str, ...], float]:
    """Return the exported values by metric name and label values."""
    metrics = exporter.PipelineMetrics(exporter.sources(exporter.parser().parse_args(flags)))
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


def test_registry_is_exported(recorded):
    values = collect()
    assert values["pipeline_version_count",] == 2
    assert values["pipeline_model_measure", "champion", "2", "accuracy"] == 0.93
    assert values["pipeline_model_measure", "challenger", "2", "log_loss"] == pytest.approx(0.07)
    outcomes = {key[1]: n for key, n in values.items() if key[0] == "pipeline_decision_count_total"}
    assert outcomes == {"promoted": 2, "refused": 1, "rolled_back": 0}
    first, last = (
        values["pipeline_decision_timestamp_seconds", "promoted", *versions]
        for versions in (("none", "1"), ("1", "2"))
    )
    assert 0 < last - first < 60
    assert values["pipeline_deployment_count_total", "staging", "rolled_back"] == 1
    assert values["pipeline_source_up", "mlflow"] == 1
    assert ("pipeline_source_up", "kubeflow") not in values


def test_kubeflow_runs_are_exported(recorded):
    with kubeflow() as server:
        values = collect("--host", server.host)
    assert values["pipeline_runs", "training", "running"] == 1
    assert values["pipeline_runs", "training", "succeeded"] == 1
    assert values["pipeline_runs", "training", "failed"] == 1
    assert values["pipeline_run_duration_seconds", "training"] == 30 * 60
    assert values["pipeline_run_duration_seconds", "monitoring"] == 5 * 60
    failed, succeeded = (
        values["pipeline_run_timestamp_seconds", "training", state]
        for state in ("failed", "succeeded")
    )
    assert succeeded - failed == pytest.approx(70 * 60, abs=1)


def test_failed_source_hides_no_other(recorded, monkeypatch, caplog):
    address = f"http://127.0.0.1:{free_port()}"
    values = collect("--host", address)
    assert values["pipeline_source_up", "kubeflow"] == 0
    assert values["pipeline_source_up", "mlflow"] == 1
    assert f"{address}: no response" in caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert collect() == {("pipeline_source_up", "mlflow"): 0}


def test_empty_registry_is_exported(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry.db")
    with registry.connected(create=True):
        pass
    values = collect()
    assert values["pipeline_version_count",] == 0
    assert values["pipeline_source_up", "mlflow"] == 1
    assert not [key for key in values if key[0].startswith(("pipeline_model", "pipeline_reg"))]


def test_command_serves_the_metrics(recorded, tmp_path):
    port = free_port()
    address = f"http://127.0.0.1:{port}/metrics"
    command = [sys.executable, "-m", "monitoring.exporter", "--port", str(port), "--address", "::"]
    hosts = ["127.0.0.1", "[::1]"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
    with running(command, address, tmp_path / "exporter", PYTHONPATH=str(REPO)):
        for host in hosts:
            url = f"http://{host}:{port}/metrics"
            with urllib.request.urlopen(url, timeout=60) as response:
                text = response.read().decode()
    assert re.search(r"^pipeline_version_count 2\.0$", text, re.MULTILINE)
    assert list(text_string_to_metric_families(text))


def run_module(module: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"monitoring.{module}", *flags]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("module", ["exporter", "receiver"])
def test_error_names_the_taken_port(tmp_path, module):
    (tmp_path / "token").write_text("a token")
    files = ["--token-file", f"{tmp_path}/token"]
    receiver_flags = [*files, "--state", f"{tmp_path}/state.json", "--", "true"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        flags = receiver_flags if module == "receiver" else []
        result = run_module(module, "--port", port, *flags)
    assert_one_line(result, f"--port {port}: Address already in use")


@pytest.mark.parametrize("port", ["70000", "-1", "0", "http"])
def test_wrong_port_is_a_usage_error(capsys, port):
    with pytest.raises(SystemExit, match="2"):
        exporter.parser().parse_args([f"--port={port}"])
    assert "argument --port: " in capsys.readouterr().err
