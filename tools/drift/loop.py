"""Serve the champion, let requests drift, and label queues until the accuracy is regained."""

import csv
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from components.decide import Training
from components.errors import UnavailableError, UserError
from components.io import processes, records
from components.io.files import read_json
from components.io.registry import Decision
from components.join import Joined
from components.labelling.live import LiveAccuracy
from components.queue import Drawn
from deploy.prometheus import Prometheus
from monitoring import retrain
from monitoring.local import serving, watching
from monitoring.settings import NAME, Ports, drift_limits
from tools import load
from tools.drift.texts import Texts

log = logging.getLogger("drift-demo")

ALERT = "SentimentDrift"
ALARMS = f'count_over_time(ALERTS{{alertname="{ALERT}"}}[1d])'
EVALUATIONS = 'count_over_time(predictor:model_drift_psi:max{statistic="length"}[1d])'
HIGHEST = "max(max_over_time(predictor:model_drift_psi:max[1d]))"
RATE = 50.0  # texts a second until the alert fires
METRICS = Path("reports/metrics.json")
NEWEST = "2000"  # captured requests that monitor compares; more would be mostly of before the shift
ESTIMATE = 200  # labels of a queue that only measures
TRAINING_SECONDS = 3_600.0
SWAP_SECONDS = 60.0  # for the predictor to load a new champion
CAPTURE_SECONDS = 90.0  # for the predictor to write what it captured


@dataclass(frozen=True)
class InDomain:
    """Figures of Prometheus for reviews like those of the champion's training."""

    reviews: int
    seconds: float
    alarms: int  # evaluations at which the alert was pending or firing
    evaluations: int
    highest_psi: float
    accuracy: float  # on the test reviews, from which they are drawn


@dataclass(frozen=True)
class Shift:
    """Figures of the shift: the texts sent until the alert fired, and what followed."""

    above_limit: int  # until the stability index was above max_psi
    fired: int
    seconds: float  # until the alert fired
    start_seconds: float  # from the alert to the start of the command
    decision: str
    live: LiveAccuracy


@dataclass(frozen=True)
class Round:
    """A queue that was labelled, the training from all labels, and the accuracy afterwards."""

    labels: int  # of all queues so far
    outcome: str
    reason: str
    version: str  # served afterwards
    live: LiveAccuracy


@dataclass(frozen=True)
class Figures:
    max_psi: float
    floor: float
    in_domain: InDomain
    shift: Shift
    rounds: list[Round]


class Demo:
    """The working copy with its servers, and the person who labels."""

    def __init__(self, project: Path, ports: Ports, texts: Texts) -> None:
        directory = project / "monitor"
        self._ports = ports
        self._texts = texts
        self._other = texts.other
        self._captured = directory / "captured"
        self._queues = directory / "queues"
        self.addresses = ["--captured", str(self._captured), "--queues", str(self._queues)]
        self.labels = 0

    def send_own(self, number: int, times: float) -> InDomain:
        """Send texts like those of the training."""
        seconds = load.send(self._ports.predictor, self._texts.own, number)
        _wait("an evaluation of the index", lambda: bool(_query(self._ports, EVALUATIONS)), 60)
        time.sleep(3 * 15 / times)  # until Prometheus has scraped and evaluated the last of them
        alarms, evaluations, highest = (
            sum(_query(self._ports, query)) for query in (ALARMS, EVALUATIONS, HIGHEST)
        )
        accuracy = float(read_json(METRICS)["accuracy"])
        return InDomain(number, seconds, int(alarms), int(evaluations), highest, accuracy)

    def shift(self, max_psi: float, times: float) -> Shift:
        """Send texts in the other spelling until the alert has started the command."""
        above_limit = 0
        ports = self._ports

        def fires(sent: int) -> bool:
            nonlocal above_limit
            if not above_limit and max(_values(ports.predictor, "model_drift_psi")) > max_psi:
                above_limit = sent
            return any(alert["state"] == "firing" for alert in _alerts(ports))

        started = time.monotonic()
        limit = 60 + 1800 / times
        sent = load.send_until(fires, ports.predictor, self._other, RATE, limit)
        seconds = time.monotonic() - started
        fired = time.monotonic()
        _wait("the start of the command", lambda: self._is_running(), 30 + 600 / times)
        start_seconds = time.monotonic() - fired
        _wait("its end", lambda: not self._is_running(), TRAINING_SECONDS)
        self._check_command()
        decision = records.read(retrain.TRAINING, Training)
        load.send(ports.predictor, self._other, 4 * ESTIMATE)
        live = self.estimate(4 * ESTIMATE)
        return Shift(above_limit, sent, seconds, start_seconds, decision.why, live)

    def learn(self, labels: int) -> Round:
        """Label a queue of this size, train, and estimate the accuracy of what is served then."""
        load.send(self._ports.predictor, self._other, 4 * labels)
        self._label(labels, 4 * labels)
        retrain.run(
            [sys.executable, "-m", "monitoring.retrain", *self.addresses, "--newest", NEWEST]
        )
        decided = records.read(retrain.TRAINING, Training)
        if not decided.train:
            raise UserError(f"labels came in, and nothing was trained: {decided.why}")
        decision = records.read(retrain.PROMOTION, Decision)
        champion = decision.after if decision.outcome == "promoted" else decision.before
        _wait(f"version {champion}", lambda: _version(self._ports) == champion, SWAP_SECONDS)
        sofar = self.labels
        load.send(self._ports.predictor, self._other, 4 * ESTIMATE)
        return Round(sofar, decision.outcome, decision.why, champion, self.estimate(4 * ESTIMATE))

    def estimate(self, newest: int) -> LiveAccuracy:
        """Label some of so many newest predictions; return the accuracy of the version served."""
        self._label(ESTIMATE, newest)
        outputs = ["--joined", str(retrain.JOINED), "--report", str(retrain.LABELS)]
        retrain.run(retrain.stage("join", *self.addresses, *outputs))
        version = _version(self._ports)
        found = records.read(retrain.JOINED, Joined).live
        return next(each for each in found if each.version == version)

    def _label(self, size: int, newest: int) -> None:
        """Draw a queue from so many newest predictions, and label all of it."""
        self._await_capture()
        drawn = ["--drawn", str(retrain.DRAWN)]
        sizes = ["--size", str(size), "--newest", str(newest)]
        retrain.run(retrain.stage("queue", *self.addresses, *drawn, *sizes))
        folder = self._queues / records.read(retrain.DRAWN, Drawn).queue
        with (folder / "items.jsonl").open() as file:
            items = [*map(json.loads, file)]
        with (folder / "labels.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, items[0])
            writer.writeheader()
            writer.writerows(item | {"label": self._texts.labels[item["text"]]} for item in items)
        self.labels += len(items)
        labelled = {item["text"] for item in items}  # the model may know them soon: not sent again
        self._other = [text for text in self._other if text not in labelled]

    def _await_capture(self) -> None:
        """Wait until the predictor has written all that it has answered, or found no room for."""

        def written() -> bool:
            answered, captured, dropped = (
                sum(_values(self._ports.predictor, f"model_{name}_count_total"))
                for name in ("prediction", "capture", "capture_dropped")
            )
            return answered == captured + dropped

        _wait("captured requests", written, CAPTURE_SECONDS)

    def _is_running(self) -> bool:
        return 1 in _values(self._ports.receiver, "retraining_running")

    def _check_command(self) -> None:
        if 1 in _values(self._ports.receiver, "retraining_run_count_total", outcome="failed"):
            lines = Path("monitor/receiver.log").read_text().splitlines()
            errors = [line for line in lines if "rror" in line][-3:]
            raise UserError(f"the command of the alert failed: {' '.join(errors)}")


def run_loop(
    project: Path, texts: Texts, in_domain: int, times: float, labels: int, most_rounds: int
) -> Figures:
    """Send ``in_domain`` of the texts, then those in the other spelling, and learn from labels.

    ``project`` is a working copy with a champion. Each round labels a queue of ``labels`` texts,
    until the accuracy is above the floor of params.yaml, or ``most_rounds`` have passed.
    """
    directory = project / "monitor"
    ports = Ports(*processes.free_ports(len(Ports._fields)))
    command = [sys.executable, "-m", "monitoring.retrain", "--newest", NEWEST]
    with chdir(project):
        floor = float(yaml.safe_load(Path("params.yaml").read_text())["join"]["min_accuracy"])
        demo = Demo(project, ports, texts)
        with (
            serving(directory, ports, f"models:/{NAME}@champion"),
            watching(directory, ports, [*command, *demo.addresses], times=times),
        ):
            max_psi = drift_limits().max_psi
            before = demo.send_own(in_domain, times)
            shift = demo.shift(max_psi, times)
            rounds: list[Round] = []
            while len(rounds) < most_rounds and not is_regained(rounds, floor):
                log.info("round %d: a queue of %d texts", len(rounds) + 1, labels)
                rounds.append(demo.learn(labels))
    return Figures(max_psi, floor, before, shift, rounds)


def is_regained(rounds: Sequence[Round], floor: float) -> bool:
    return bool(rounds) and rounds[-1].live.accuracy.value >= floor


def _wait(event: str, done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise UnavailableError(f"waited {seconds:.0f} s for {event}, in vain")
        time.sleep(0.2)


def _alerts(ports: Ports) -> list[dict[str, Any]]:
    address = f"http://127.0.0.1:{ports.prometheus}/api/v1/alerts"
    with processes.open_url(address, timeout=30) as response:
        alerts = json.load(response)["data"]["alerts"]
    return [alert for alert in alerts if alert["labels"]["alertname"] == ALERT]


def _query(ports: Ports, query: str) -> list[float]:
    return [*Prometheus(f"http://127.0.0.1:{ports.prometheus}").ask(query).values()]


def _version(ports: Ports) -> str:
    (info,) = _samples(ports.predictor, "model_version_info")
    return str(info.labels["version"])


def _values(port: int, metric: str, **labels: str) -> list[float]:
    return [sample.value for sample in _samples(port, metric, **labels)]


def _samples(port: int, metric: str, **labels: str) -> list[Any]:
    with processes.open_url(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
        families = text_string_to_metric_families(response.read().decode())
    samples = (sample for family in families for sample in family.samples)
    return [s for s in samples if s.name == metric and labels.items() <= s.labels.items()]
