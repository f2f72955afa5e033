"""Show retraining on drift once: requests drift, an alert fires, training starts, the gate decides.

In a clone of this repository, with a registry of its own, the demo serves the champion, sends
reviews like those of its training and then sentences of another kind, and prints what happened
when. Prometheus and Alertmanager are real, with the rules of the cluster; durations in the rules
are divided by --times, so that a wait of ten minutes takes one.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from prometheus_client.parser import text_string_to_metric_families

from components import cli, ingest
from components.cli import count, positive
from components.errors import UnavailableError, UserError
from components.io import processes, records, reviews
from components.io.registry import Decision
from components.monitor import Drift
from components.reading.options import Options
from deploy.prometheus import Prometheus
from monitoring.local import serving, watching
from monitoring.retrain import DRIFT, PROMOTION, run
from monitoring.settings import NAME, ROOT, Ports, drift_limits
from tools import load

log = logging.getLogger("drift-demo")

REVIEWS = Path("reviews_and_sentences.parquet")
ALERT = "SentimentDrift"
ALARMS = f'count_over_time(ALERTS{{alertname="{ALERT}"}}[1d])'
EVALUATIONS = 'count_over_time(predictor:model_drift_psi:max{statistic="length"}[1d])'
HIGHEST = "max(max_over_time(predictor:model_drift_psi:max[1d]))"
RATE = 50.0  # sentences a second
NEWEST = "2000"  # captured requests that monitor compares; more would be mostly reviews
TRAINING_SECONDS = 3_600.0
SWAP_SECONDS = 60.0  # for the predictor to load a new champion


@dataclass(frozen=True)
class InDomain:
    """Figures of Prometheus for reviews like those of the champion's training."""

    reviews: int
    seconds: float
    alarms: int  # evaluations at which the alert was pending or firing
    evaluations: int
    highest_psi: float


@dataclass(frozen=True)
class Shift:
    """Figures of the shift: the sentences sent until the alert fired."""

    above_limit: int  # until the stability index was above max_psi
    fired: int
    seconds: float  # until the alert fired


@dataclass(frozen=True)
class Retraining:
    """Figures of the retraining that the alert started."""

    start_seconds: float  # from the alert to the start
    seconds: float  # from the start to the end
    drift: str
    outcome: str
    reason: str
    version: str  # served in the end


@dataclass(frozen=True)
class Figures:
    max_psi: float
    in_domain: InDomain
    shift: Shift
    retraining: Retraining


def prepare_project(project: Path) -> None:
    """Clone this repository and train a champion, or check it out of DVC's cache here."""
    run(["git", "clone", "--quiet", str(ROOT), str(project)])
    with chdir(project):
        if (cache := ROOT / ".dvc/cache").exists():
            run(["dvc", "cache", "dir", "--local", str(cache)])
        run(["dvc", "repro", "--quiet"])


def prepare_reviews(project: Path) -> tuple[list[str], list[str]]:
    """Add labelled sentences to the source of the next training; return the texts to send.

    These are the champion's test reviews, and the half of the sentences without labels.
    """
    with chdir(project):
        path = Path("sentences.parquet")
        ingest.ingest(Options("builtin:rotten_tomatoes"), path)
        sentences = reviews.read(path).sample(frac=1, random_state=0)
        half = len(sentences) // 2
        known = reviews.read(Path("data/reviews.parquet"))
        labelled = pd.concat([known, sentences[:half]], ignore_index=True)
        labelled[["text", "label"]].to_parquet(REVIEWS)
        params = yaml.safe_load(Path("params.yaml").read_text())
        params["ingest"]["source"] = str(REVIEWS)
        Path("params.yaml").write_text(yaml.safe_dump(params))
        test = pd.concat(reviews.labelled(Path("data/test")))
        return test["text"].tolist(), sentences["text"][half:].tolist()


def watch_drift(
    project: Path, own: Sequence[str], other: Sequence[str], in_domain: int, times: float
) -> Figures:
    """Send ``in_domain`` of the texts ``own``, then ``other`` ones until the alert retrains.

    ``project`` is a working copy with a champion and the source that training reads next.
    """
    directory = project / "monitor"
    ports = Ports(*processes.free_ports(len(Ports._fields)))
    retrain = [sys.executable, "-m", "monitoring.retrain"]
    retrain += ["--captured", str(directory / "captured"), "--newest", NEWEST]
    with (
        chdir(project),
        serving(directory, ports, f"models:/{NAME}@champion"),
        watching(directory, ports, retrain, times=times),
    ):
        max_psi = drift_limits().max_psi
        before = _send_own(ports, own, in_domain, times)
        shift = _send_other(ports, other, max_psi, times)
        return Figures(max_psi, before, shift, _await_retraining(ports, times))


def _send_own(ports: Ports, texts: Sequence[str], number: int, times: float) -> InDomain:
    seconds = load.send(ports.predictor, texts, number)
    _wait("an evaluation of the index", lambda: bool(_query(ports, EVALUATIONS)), 60)
    time.sleep(3 * 15 / times)  # until Prometheus has scraped and evaluated the last of them
    alarms, evaluations, highest = (
        sum(_query(ports, query)) for query in (ALARMS, EVALUATIONS, HIGHEST)
    )
    return InDomain(number, seconds, int(alarms), int(evaluations), highest)


def _send_other(ports: Ports, texts: Sequence[str], max_psi: float, times: float) -> Shift:
    above_limit = 0

    def fires(sent: int) -> bool:
        nonlocal above_limit
        if not above_limit and max(_values(ports.predictor, "model_drift_psi")) > max_psi:
            above_limit = sent
        return any(alert["state"] == "firing" for alert in _alerts(ports))

    started = time.monotonic()
    sent = load.send_until(fires, ports.predictor, texts, RATE, 60 + 1800 / times)
    return Shift(above_limit, sent, time.monotonic() - started)


def _await_retraining(ports: Ports, times: float) -> Retraining:
    def running() -> bool:
        return 1 in _values(ports.receiver, "retraining_running")

    fired = time.monotonic()
    _wait("the start of training", running, 30 + 600 / times)
    started = time.monotonic()
    _wait("the end of training", lambda: not running(), TRAINING_SECONDS)
    ended = time.monotonic()
    if 1 in _values(ports.receiver, "retraining_run_count_total", outcome="failed"):
        lines = Path("monitor/receiver.log").read_text().splitlines()
        errors = [line for line in lines if "rror" in line][-3:]
        raise UserError(f"training failed: {' '.join(errors)}")
    decision = records.read(PROMOTION, Decision)
    champion = decision.after if decision.outcome == "promoted" else decision.before
    _wait(f"version {champion} to be served", lambda: _version(ports) == champion, SWAP_SECONDS)
    return Retraining(
        started - fired,
        ended - started,
        records.read(DRIFT, Drift).why,
        decision.outcome,
        decision.why,
        champion,
    )


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
    own, shift, retraining = figures.in_domain, figures.shift, figures.retraining
    return f"""
In domain   {own.reviews} reviews, {own.reviews / own.seconds:.0f} a second: {own.alarms} alarms
            in {own.evaluations} evaluations, the highest stability index {own.highest_psi:.3f}
Shift       index above {figures.max_psi:g} after {shift.above_limit} sentences of another kind
Alert       {ALERT} fires after {shift.fired} sentences and {shift.seconds:.0f} s,
            at {RATE:.0f} sentences a second, with durations divided by {times:g}
Receiver    starts training {retraining.start_seconds:.1f} s later
Monitor     confirms: {retraining.drift}
Gate        {retraining.outcome} after {retraining.seconds:.0f} s: {retraining.reason}
Champion    version {retraining.version} is served
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.drift_demo", description=__doc__)
    add = parser.add_argument
    add("--in-domain", type=count, default=100_000, help="reviews to send; default: %(default)s")
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
            prepare_project(project)
            own, other = prepare_reviews(project)
            log.info("serving the champion, with Prometheus and Alertmanager")
            figures = watch_drift(project, own, other, args.in_domain, args.times)
        print(summary(figures, args.times))

    return cli.run("drift-demo", work)


if __name__ == "__main__":
    raise SystemExit(main())
