"""Prometheus, Alertmanager and the receiver together, with durations divided by sixty."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import requests

from components.io import processes
from deploy.prometheus import Prometheus
from monitoring.local import speed_up, watching
from monitoring.settings import MANIFESTS, Ports
from tests.conftest import REPO, assert_one_line

PROGRAMS = ("prometheus", "prometheus-alertmanager")


def wait_until(done, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)), reason=f"needs {' and '.join(PROGRAMS)}: make packages"
)
def test_heartbeat_ends_without_alertmanager(tmp_path, monkeypatch):
    # a server that does not answer, so that the exporter creates no registry here
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{processes.free_ports(1)[0]}")
    # what registry.connected() leaves in the environment: MLflow gives up after fourteen seconds
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    ports = Ports(*processes.free_ports(len(Ports._fields)))
    heartbeat = f"http://127.0.0.1:{ports.receiver}/heartbeat"

    def is_alive() -> bool:
        try:
            return urllib.request.urlopen(heartbeat, timeout=5).status == 200
        except urllib.error.HTTPError as error:
            return error.code != 503

    def predictor_down_fires() -> bool:
        address = f"http://127.0.0.1:{ports.alertmanager}/api/v2/alerts"
        wanted = {"filter": 'alertname="SentimentPredictorDown"'}
        return bool(requests.get(address, wanted, timeout=5).json())

    def mlflow_is_down() -> bool:
        prometheus = Prometheus(f"http://127.0.0.1:{ports.prometheus}")
        labels = 'job="sentiment-exporter", namespace="sentiment", source="mlflow"'
        return 0 in prometheus.ask(f"pipeline_source_up{{{labels}}}").values()

    with watching(tmp_path, ports, ["true"], times=60, heartbeat_timeout=4):
        wait_until(predictor_down_fires)
        time.sleep(6)  # the receiver counts its own start as a heartbeat for four seconds
        assert is_alive()
        wait_until(mlflow_is_down, seconds=60)  # the scrape has half a second, MLflow needs more
        (tmp_path / "alertmanager.json").write_text("[]")
        wait_until(lambda: not is_alive())


def test_speed_up_changes_durations_only():
    text = (MANIFESTS / "config/rules.yml").read_text()
    assert speed_up(text, 1) == text
    fast = speed_up(text, 10)
    assert "for: 60000ms" in fast  # 10m
    assert "[360000ms]" in fast  # 1h
    assert "ratio1h > 14.4 * 0.001" in fast
    duration = re.compile(r"\b\d+(ms|[smhdw])\b")
    assert duration.sub("", fast) == duration.sub("", text)


def test_error_names_the_taken_port(tmp_path):
    (port,) = processes.free_ports(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        result = run_local(tmp_path, "--prometheus-port", str(port))
    assert_one_line(result, f"--prometheus-port {port}")


def run_local(directory, *flags: str) -> subprocess.CompletedProcess[str]:
    ports = zip(Ports._fields, processes.free_ports(len(Ports._fields)), strict=True)
    port_flags = [flag for name, port in ports for flag in (f"--{name}-port", str(port))]
    return subprocess.run(
        [sys.executable, "-m", "monitoring.local", *port_flags, *flags],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=60,
    )
