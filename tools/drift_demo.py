"""Show the loop once: requests drift, accuracy falls, labels come in, accuracy is regained.

In a clone of this repository, with a registry of its own, the demo serves the champion, sends
reviews like those of its training and then reviews in another spelling: words of more than three
letters are written backwards, as if callers had changed to a language that the champion has not
seen. The alert finds nothing new to learn from, so queues are labelled (the demo knows the hidden
labels) until the model that has learned from them is above the floor again. Prometheus and
Alertmanager are real, with the rules of the cluster; durations in the rules are divided by --times,
so that a wait of ten minutes takes one.
"""

import argparse
import csv
import json
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from prometheus_client.parser import text_string_to_metric_families

from components import cli, ingest
from components.cli import count, positive
from components.decide import Training
from components.errors import UnavailableError, UserError
from components.io import processes, records, reviews
from components.io.registry import Decision
from components.join import Joined
from components.labelling.live import LiveAccuracy
from components.queue import Drawn
from components.reading.options import Options
from deploy.prometheus import Prometheus
from monitoring import retrain
from monitoring.local import serving, watching
from monitoring.settings import NAME, ROOT, Ports, drift_limits
from tools import load

log = logging.getLogger("drift-demo")

ALERT = "SentimentDrift"
ALARMS = f'count_over_time(ALERTS{{alertname="{ALERT}"}}[1d])'
EVALUATIONS = 'count_over_time(predictor:model_drift_psi:max{statistic="length"}[1d])'
HIGHEST = "max(max_over_time(predictor:model_drift_psi:max[1d]))"
RATE = 50.0  # texts a second until the alert fires
SOURCE = Path("known.parquet")  # what the champion and later versions learn from, beside labels
OTHERS = 6_000  # reviews to respell
NEWEST = "2000"  # captured requests that monitor compares; more would be mostly of before the shift
ESTIMATE = 200  # labels of a queue that only measures
TRAINING_SECONDS = 3_600.0
SWAP_SECONDS = 60.0  # for the predictor to load a new champion
CAPTURE_SECONDS = 90.0  # for the predictor to write what it captured
_LONG_WORD = re.compile(r"\w{4,}")
_MASKED = re.compile(r"@|(?:\d\D{0,2}){7}")  # may be masked when it is captured


@dataclass(frozen=True)
class Texts:
    """Texts to send: like those of the training, and in the other spelling; labels by text."""

    own: list[str]
    other: list[str]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class InDomain:
    """Figures of Prometheus for reviews like those of the champion's training."""

    reviews: int
    seconds: float
    alarms: int  # evaluations at which the alert was pending or firing
    evaluations: int
    highest_psi: float
    live: LiveAccuracy


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
        """Send texts like those of the training, and estimate the accuracy on them."""
        seconds = load.send(self._ports.predictor, self._texts.own, number)
        _wait("an evaluation of the index", lambda: bool(_query(self._ports, EVALUATIONS)), 60)
        time.sleep(3 * 15 / times)  # until Prometheus has scraped and evaluated the last of them
        alarms, evaluations, highest = (
            sum(_query(self._ports, query)) for query in (ALARMS, EVALUATIONS, HIGHEST)
        )
        live = self.estimate()
        return InDomain(number, seconds, int(alarms), int(evaluations), highest, live)

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
        live = self.estimate()
        return Shift(above_limit, sent, seconds, start_seconds, decision.why, live)

    def learn(self, labels: int) -> Round:
        """Label a queue of this size, train, and estimate the accuracy of what is served then."""
        load.send(self._ports.predictor, self._other, 4 * labels)
        self._label(labels)
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
        return Round(sofar, decision.outcome, decision.why, champion, self.estimate())

    def estimate(self) -> LiveAccuracy:
        """Label a queue of the newest predictions; return the accuracy of the version served."""
        self._label(ESTIMATE)
        outputs = ["--joined", str(retrain.JOINED), "--report", str(retrain.LABELS)]
        retrain.run(retrain.stage("join", *self.addresses, *outputs))
        version = _version(self._ports)
        found = records.read(retrain.JOINED, Joined).live
        return next(each for each in found if each.version == version)

    def _label(self, size: int) -> None:
        """Draw a queue from what has been captured by now, and label all of it."""
        self._await_capture()
        drawn = ["--drawn", str(retrain.DRAWN)]
        retrain.run(retrain.stage("queue", *self.addresses, *drawn, "--size", str(size)))
        folder = self._queues / records.read(retrain.DRAWN, Drawn).queue
        with (folder / "items.csv").open(newline="") as file:
            items = [*csv.DictReader(file)]
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


def prepare_project(project: Path) -> Texts:
    """Clone this repository, train a champion, and return texts that it has not learned from.

    The reviews to respell are kept apart from those of its training and its test.
    """
    retrain.run(["git", "clone", "--quiet", str(ROOT), str(project)])
    with chdir(project):
        whole = Path("whole.parquet")
        ingest.ingest(Options("builtin"), whole)
        table = reviews.read(whole).sample(frac=1, random_state=0)
        others, known = table[:OTHERS], table[OTHERS:].sort_index()
        names = dict(enumerate(reviews.classes(whole)))
        known.assign(label=known["label"].map(names)).to_parquet(SOURCE)
        params = yaml.safe_load(Path("params.yaml").read_text())
        params["ingest"]["source"] = str(SOURCE)
        Path("params.yaml").write_text(yaml.safe_dump(params))
        retrain.run(["dvc", "repro", "--quiet"])
        test = reviews.read(Path("data/test"))
    return respell(test, others, list(names.values()))


def respell(own: pd.DataFrame, others: pd.DataFrame, classes: Sequence[str]) -> Texts:
    """Return the texts of ``own`` as they are, and those of ``others`` in the other spelling."""
    labels: dict[str, str] = {}
    sent: list[list[str]] = []
    for table, written in ((own, False), (others, True)):
        table = table[~table["text"].str.contains(_MASKED)]
        texts = [
            _LONG_WORD.sub(lambda word: word[0][::-1], text) if written else text
            for text in table["text"]
        ]
        labels |= dict(zip(texts, (classes[label] for label in table["label"]), strict=True))
        sent.append(texts)
    return Texts(*sent, labels)


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
            while len(rounds) < most_rounds and not _is_regained(rounds, floor):
                log.info("round %d: a queue of %d texts", len(rounds) + 1, labels)
                rounds.append(demo.learn(labels))
    return Figures(max_psi, floor, before, shift, rounds)


def _is_regained(rounds: Sequence[Round], floor: float) -> bool:
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


def summary(figures: Figures, times: float) -> str:
    own, shift = figures.in_domain, figures.shift
    lines = [
        f"""
In domain   {own.reviews} reviews, {own.reviews / own.seconds:.0f} a second: {own.alarms} alarms
            in {own.evaluations} evaluations, the highest stability index {own.highest_psi:.3f}
            accuracy {_shown(own.live)}
Shift       index above {figures.max_psi:g} after {shift.above_limit} texts in another spelling
            accuracy {_shown(shift.live)}
Alert       {ALERT} fires after {shift.fired} texts and {shift.seconds:.0f} s, at
            {RATE:.0f} texts a second, with durations divided by {times:g}
Receiver    starts the command {shift.start_seconds:.1f} s later
Decision    {shift.decision}"""
    ]
    for number, each in enumerate(figures.rounds, 1):
        lines.append(
            f"""Round {number}     {each.labels} labels so far; {each.outcome}: {each.reason}
            version {each.version} is served, accuracy {_shown(each.live)}"""
        )
    last = figures.rounds[-1]
    found = "is regained" if _is_regained(figures.rounds, figures.floor) else "is not regained yet"
    lines.append(
        f"Floor       {figures.floor:.0%}: the accuracy {found}, with {last.labels} labels\n"
    )
    return "\n".join(lines)


def _shown(live: LiveAccuracy) -> str:
    found = live.accuracy
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%}, by {found.labels} labels)"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.drift_demo", description=__doc__)
    add = parser.add_argument
    add("--in-domain", type=count, default=100_000, help="reviews to send; default: %(default)s")
    add("--labels", type=count, default=800, help="labels in a round; default: %(default)s")
    add("--rounds", type=count, default=5, help="the most rounds; default: %(default)s")
    add("--directory", type=Path, help="new folder to keep the clone in; default: a temporary one")
    add("--times", type=positive, default=10.0, help="divide durations by it; default: %(default)s")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        with tempfile.TemporaryDirectory(prefix="drift-demo-") as scratch:
            project = (args.directory or Path(scratch) / "project").resolve()
            if project.exists():
                raise UserError(f"--directory {project}: it exists; name a new folder")
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{project}/mlflow.db"
            log.info("preparing a champion in %s", project)
            texts = prepare_project(project)
            log.info("serving the champion, with Prometheus and Alertmanager")
            figures = run_loop(project, texts, args.in_domain, args.times, args.labels, args.rounds)
        print(summary(figures, args.times))

    return cli.run("drift-demo", work)


if __name__ == "__main__":
    raise SystemExit(main())
