"""The exporter with a real registry on SQLite, and a stand-in for Kubeflow's API server."""

import re
import socket
import subprocess
import sys
import threading
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from components.errors import UnavailableError
from components.io import registry
from components.labelling import live
from components.labelling.live import Interval
from monitoring import exporter
from tests.conftest import REPO, assert_one_line, free_port, running
from tests.monitoring import LIVE, kubeflow, record


@pytest.fixture
def recorded(own_registry, tmp_path, monkeypatch):
    """Set MLFLOW_TRACKING_URI to a registry with versions, decisions and deployments of a model."""
    monkeypatch.chdir(tmp_path)
    with registry.connected() as client:
        record(client)


def collect(*flags: str) -> dict[tuple[str, ...], float]:
    """Return the exported values by metric name and label values."""
    metrics = exporter.PipelineMetrics(exporter.sources(exporter.parser().parse_args(flags)))
    families = list(metrics.collect())
    assert len({family.name for family in families}) == len(families)  # or Prometheus refuses all
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


OURS = ("sentiment", "sentiment")  # namespace and service


def test_registry_is_exported(recorded):
    values = collect()
    assert values["pipeline_version_count", *OURS] == 2
    assert values["pipeline_model_measure", *OURS, "champion", "2", "accuracy"] == 0.93
    assert values["pipeline_model_measure", *OURS, "challenger", "2", "log_loss"] == pytest.approx(
        0.07
    )
    outcomes = {key[3]: n for key, n in values.items() if key[0] == "pipeline_decision_count_total"}
    assert outcomes == {"promoted": 2, "refused": 1, "rolled_back": 0}
    first, last = (
        values["pipeline_decision_timestamp_seconds", *OURS, "promoted", *versions]
        for versions in (("none", "1"), ("1", "2"))
    )
    assert 0 < last - first < 60
    assert values["pipeline_deployment_count_total", *OURS, "staging", "rolled_back"] == 1
    assert values["pipeline_source_up", *OURS, "mlflow"] == 1
    assert ("pipeline_source_up", "sentiment", "", "kubeflow") not in values


def live_values(values: dict[tuple[str, ...], float], name: str) -> dict[tuple[str, ...], float]:
    return {key[1:]: value for key, value in values.items() if key[0] == name}


def test_live_accuracy_is_exported(recorded):
    """The newest estimate of each version: precision and recall by class, with their bounds."""
    values = collect()
    version = (*OURS, "2")
    assert live_values(values, "pipeline_live_accuracy") == {
        (*version, "estimate"): 0.9,
        (*version, "low"): 0.86,
        (*version, "high"): 0.93,
    }
    assert live_values(values, "pipeline_live_class_accuracy") == {
        (*version, "negative", "precision", "estimate"): 0.88,
        (*version, "negative", "precision", "low"): 0.82,
        (*version, "negative", "precision", "high"): 0.92,
        (*version, "positive", "recall", "estimate"): 0.91,
        (*version, "positive", "recall", "low"): 0.85,
        (*version, "positive", "recall", "high"): 0.95,
    }
    assert values["pipeline_live_labels", *version] == 250
    ended = datetime(2026, 11, 27, 8, tzinfo=UTC).timestamp()
    assert values["pipeline_live_timestamp_seconds", *version] == ended
    with registry.connected() as client:
        live.write(client, "sentiment", replace(LIVE, until="2026-11-28T08:00:00", version="1"))
        live.write(client, "sentiment", replace(LIVE, accuracy=Interval(0.8, 0.7, 0.84, 300)))
    values = collect()
    assert values["pipeline_live_accuracy", *OURS, "1", "high"] == 0.93
    assert values["pipeline_live_timestamp_seconds", *OURS, "1"] == ended + 86_400
    assert values["pipeline_live_accuracy", *version, "high"] == 0.84
    assert values["pipeline_live_labels", *version] == 300


def test_only_the_newest_versions_have_series(recorded):
    with registry.connected() as client:
        for number in range(3, 24):
            live.write(client, "sentiment", replace(LIVE, version=str(number)))
    versions = {key[2] for key in live_values(collect(), "pipeline_live_labels")}
    assert versions == {str(number) for number in range(4, 24)}


def test_damaged_estimate_is_named(recorded, caplog):
    with registry.connected() as client:
        live.write(client, "sentiment", replace(LIVE, until="yesterday"))
    assert collect()["pipeline_source_up", *OURS, "mlflow"] == 0
    assert "sentiment-live, version 2: until: " in caplog.text


def test_kubeflow_runs_are_exported(recorded):
    with kubeflow() as server:
        values = collect("--host", server.host)
    assert values["pipeline_runs", *OURS, "training", "running"] == 1
    assert values["pipeline_runs", *OURS, "training", "succeeded"] == 1
    assert values["pipeline_runs", *OURS, "training", "failed"] == 1
    assert values["pipeline_run_duration_seconds", *OURS, "training"] == 30 * 60
    assert values["pipeline_run_duration_seconds", *OURS, "monitoring"] == 5 * 60
    failed, succeeded = (
        values["pipeline_run_timestamp_seconds", *OURS, "training", state]
        for state in ("failed", "succeeded")
    )
    assert succeeded - failed == pytest.approx(70 * 60, abs=1)


TWO = """
- {namespace: sentiment, service: sentiment}
- {namespace: german, service: sentiment, model: german}
"""


def test_two_models_are_told_apart(recorded, tmp_path, caplog):
    (tmp_path / "services.yaml").write_text(TWO)
    with registry.connected() as client:
        record(client, "german")
        run = client.get_model_version("german", "2").run_id
        client.log_metric(run, "accuracy", 0.5)
    with kubeflow() as server:
        values = collect("--services", "services.yaml", "--host", server.host)
    german = ("german", "sentiment")
    for labels, accuracy, failed in ((OURS, 0.93, 1), (german, 0.5, 1)):
        assert values["pipeline_source_up", *labels, "mlflow"] == 1
        assert values["pipeline_version_count", *labels] == 2
        assert values["pipeline_model_measure", *labels, "champion", "2", "accuracy"] == accuracy
        assert values["pipeline_runs", *labels, "training", "failed"] == failed
    assert values["pipeline_run_duration_seconds", *german, "training"] == 10 * 60
    assert values["pipeline_runs", "", "", "training", "failed"] == 1  # of a model that is not ours


def test_failed_model_hides_no_other(recorded, tmp_path, monkeypatch):
    (tmp_path / "services.yaml").write_text(TWO)
    read = exporter.read_registry

    def fail_for_german(service):
        if service.model == "german":
            raise UnavailableError("german: no response")
        return read(service)

    monkeypatch.setattr(exporter, "read_registry", fail_for_german)
    values = collect("--services", "services.yaml")
    assert values["pipeline_source_up", "german", "sentiment", "mlflow"] == 0
    assert values["pipeline_source_up", *OURS, "mlflow"] == 1
    assert values["pipeline_version_count", *OURS] == 2


def test_sources_are_read_at_the_same_time():
    both = threading.Barrier(2, timeout=10)

    def source() -> list[Metric]:
        both.wait()
        return [Metric("m", "Of both", "gauge")]

    sources = {("n", name, "mlflow"): source for name in ("a", "b")}
    (_, up) = exporter.PipelineMetrics(sources).collect()
    assert [sample.value for sample in up.samples] == [1, 1]


def test_failed_source_hides_no_other(recorded, monkeypatch, caplog):
    address = f"http://127.0.0.1:{free_port()}"
    values = collect("--host", address)
    assert values["pipeline_source_up", "sentiment", "", "kubeflow"] == 0
    assert values["pipeline_source_up", *OURS, "mlflow"] == 1
    assert f"{address}: no response" in caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert collect() == {("pipeline_source_up", *OURS, "mlflow"): 0}


def test_empty_registry_is_exported(own_registry):
    values = collect()
    assert values["pipeline_version_count", *OURS] == 0
    assert values["pipeline_source_up", *OURS, "mlflow"] == 1
    assert not [
        key
        for key in values
        if key[0].startswith(("pipeline_model", "pipeline_reg", "pipeline_live"))
    ]


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
    assert re.search(
        r'^pipeline_version_count{namespace="sentiment",service="sentiment"} 2\.0$',
        text,
        re.MULTILINE,
    )
    assert list(text_string_to_metric_families(text))


def run_module(module: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"monitoring.{module}", *flags]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("module", ["exporter", "receiver"])
def test_error_names_the_taken_port(tmp_path, module):
    (tmp_path / "token").write_text("a token")
    files = ["--token-file", f"{tmp_path}/token"]
    receiver_flags = [*files, "--state", f"{tmp_path}/state", "--", "true"]
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
