"""What a champion that is served and watched here makes of requests of another kind, in figures."""

import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from components.errors import UserError
from components.io import processes
from components.io.files import read_json
from deploy.prometheus import Prometheus
from monitoring.laptop import Ports
from monitoring.local import serving, watching
from tools import load

ALERT = "SentimentDrift"
ALARMS = f'count_over_time(ALERTS{{alertname="{ALERT}"}}[1d])'
LOOKS = 'count_over_time(predictor:model_drift_psi:max{statistic="length"}[1d])'
HIGHEST = "max(max_over_time(predictor:model_drift_psi:max[1d]))"
MAX_PSI = 0.2  # of its rule
RATE = 50.0  # texts of another kind a second
TRAINING_SECONDS = 3_600.0
SWAP_SECONDS = 60.0
PROMOTION = Path("reports/promotion.json")
DRIFT = Path("reports/drift.json")


@dataclass
class Figures:
    in_domain: int
    in_domain_seconds: float
    false_alarms: int  # evaluations at which the alert fired or was about to
    looks: int  # evaluations in all
    highest_psi: float  # of the reviews of its kind
    passed: int = 0  # texts of another kind until the index is above MAX_PSI
    fired: int = 0  # and until the alert fires
    fired_seconds: float = 0
    started_seconds: float = 0  # from there to the start of training
    trained_seconds: float = 0
    drift: str = ""
    outcome: str = ""
    why: str = ""
    version: str = ""  # that is served in the end


def loop(
    project: Path, own: Sequence[str], other: Sequence[str], in_domain: int, times: float
) -> Figures:
    """Send ``in_domain`` of the texts ``own``, then ``other`` ones until the alert fires.

    ``project`` is a working copy with a champion, in which training finds what it needs.
    """
    directory = project / "monitor"
    ports = Ports(*processes.free_ports(len(Ports._fields)))
    retrain = [sys.executable, "-m", "monitoring.retrain"]
    retrain += ["--captured", str(directory / "captured"), "--newest", "2000"]
    with (
        chdir(project),
        serving(directory, ports, "models:/sentiment@champion"),
        watching(directory, ports, retrain, times=times),
    ):
        seconds = load.send(ports.predictor, own, in_domain)
        _wait(lambda: bool(_query(ports, LOOKS)), 60)
        time.sleep(3 * 15 / times)  # until the last of it is scraped and judged
        alarms, looks, highest = (sum(_query(ports, q)) for q in (ALARMS, LOOKS, HIGHEST))
        figures = Figures(in_domain, seconds, int(alarms), int(looks), highest)
        _shift(figures, ports, other, times)
        _retrain(figures, ports, times)
    return figures


def _shift(figures: Figures, ports: Ports, other: Sequence[str], times: float) -> None:
    def done(sent: int) -> bool:
        if not figures.passed and max(_samples(ports.predictor, "model_drift_psi")) > MAX_PSI:
            figures.passed = sent
        return any(alert["state"] == "firing" for alert in _alerts(ports))

    started = time.monotonic()
    figures.fired = load.send_until(done, ports.predictor, other, RATE, 60 + 1800 / times)
    figures.fired_seconds = time.monotonic() - started


def _retrain(figures: Figures, ports: Ports, times: float) -> None:
    fired = time.monotonic()
    _wait(lambda: 1 in _samples(ports.receiver, "retraining_running"), 30 + 600 / times)
    started = time.monotonic()
    _wait(lambda: 0 in _samples(ports.receiver, "retraining_running"), TRAINING_SECONDS)
    figures.started_seconds = started - fired
    figures.trained_seconds = time.monotonic() - started
    if 1 in _samples(ports.receiver, "retraining_run_count_total", outcome="failed"):
        said = Path("monitor/receiver.log").read_text().splitlines()
        why = [line for line in said if "rror" in line][-3:]
        raise UserError(f"training failed: {' '.join(why)}")
    figures.drift = read_json(DRIFT)["why"]
    promotion = read_json(PROMOTION)
    figures.outcome, figures.why = promotion["outcome"], promotion["why"]
    champion = promotion["to"] if promotion["outcome"] == "promoted" else promotion["from"]
    _wait(lambda: _version(ports) == champion, SWAP_SECONDS)
    figures.version = _version(ports)


def _wait(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise UserError(f"waited in vain for {seconds:.0f} s")
        time.sleep(0.2)


def _alerts(ports: Ports) -> list[dict[str, Any]]:
    address = f"http://127.0.0.1:{ports.prometheus}/api/v1/alerts"
    alerts = requests.get(address, timeout=30).json()["data"]["alerts"]
    return [alert for alert in alerts if alert["labels"]["alertname"] == ALERT]


def _query(ports: Ports, query: str) -> list[float]:
    return [*Prometheus(f"http://127.0.0.1:{ports.prometheus}").ask(query).values()]


def _version(ports: Ports) -> str:
    (metric,) = _found(ports.predictor, "model_version_info")
    return str(metric.labels["version"])


def _samples(port: int, name: str, **labels: str) -> list[float]:
    return [sample.value for sample in _found(port, name, **labels)]


def _found(port: int, name: str, **labels: str) -> list[Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
        families = text_string_to_metric_families(response.read().decode())
    samples = (sample for family in families for sample in family.samples)
    return [s for s in samples if s.name == name and labels.items() <= s.labels.items()]
