"""Prometheus, Alertmanager and the receiver together, in a time that runs sixty times as fast."""

import os
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
from monitoring.laptop import Ports
from monitoring.local import watching
from tests.conftest import REPO, assert_one_line

PROGRAMS = ("prometheus", "prometheus-alertmanager")


def until(done, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)), reason=f"needs {' and '.join(PROGRAMS)}: make packages"
)
def test_the_heart_beats_until_prometheus_loses_alertmanager(tmp_path, monkeypatch):
    # nobody's, so that the exporter makes no registry here
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{processes.free_ports(1)[0]}")
    # as whoever asked a registry in this process leaves it: fourteen seconds until MLflow gives up
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    ports = Ports(*processes.free_ports(len(Ports._fields)))
    heart = f"http://127.0.0.1:{ports.receiver}/heartbeat"

    def beats() -> bool:
        try:
            return urllib.request.urlopen(heart, timeout=5).status == 200
        except urllib.error.HTTPError as error:
            return error.code != 503

    def down() -> bool:
        address = f"http://127.0.0.1:{ports.alertmanager}/api/v2/alerts"
        wanted = {"filter": 'alertname="SentimentPredictorDown"'}
        return bool(requests.get(address, wanted, timeout=5).json())

    def exported() -> bool:
        told = Prometheus(f"http://127.0.0.1:{ports.prometheus}")
        labels = 'job="sentiment-exporter", namespace="sentiment", source="mlflow"'
        return 0 in told.ask(f"pipeline_source_up{{{labels}}}").values()

    with watching(tmp_path, ports, ["true"], times=60, silence=4):
        until(down)
        time.sleep(6)  # longer than the start of the receiver counts for
        assert beats()
        until(exported, seconds=60)  # half a second for MLflow, which does not run any faster
        (tmp_path / "alertmanager.json").write_text("[]")
        until(lambda: not beats())


def test_a_port_that_is_taken_is_named(tmp_path):
    (port,) = processes.free_ports(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        result = _start(tmp_path, "--prometheus-port", str(port))
    assert_one_line(result, f"--prometheus-port {port}")


def _start(directory, *flags: str) -> subprocess.CompletedProcess[str]:
    free = processes.free_ports(len(Ports._fields))
    given = [w for n, p in zip(Ports._fields, free, strict=True) for w in (f"--{n}-port", str(p))]
    return subprocess.run(
        [sys.executable, "-m", "monitoring.local", *given, *flags],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=60,
    )
