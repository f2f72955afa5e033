"""Show the loop once: requests drift, accuracy falls, labels come in, accuracy is regained.

In a clone of this repository, with a registry of its own, the demo serves the champion, sends
reviews like those of its training and then reviews in another spelling: each word is written
backwards, as if callers had changed to a language that the champion has not seen. The alert finds
nothing new to learn from, so queues are labelled (the demo knows the hidden labels) until the model
that has learned from them is above the floor again. Prometheus and Alertmanager are real, with the
rules of the cluster; durations in the rules are divided by --times, so that a wait of ten minutes
takes one.
"""

import argparse
import logging
import os
import tempfile
from pathlib import Path

from components import cli
from components.cli import count, positive
from components.errors import UserError
from components.labelling.live import LiveAccuracy
from tools.drift.loop import ALERT, RATE, Figures, is_regained, run_loop
from tools.drift.texts import prepare_project

log = logging.getLogger("drift-demo")


def summary(figures: Figures, times: float) -> str:
    own, shift = figures.in_domain, figures.shift
    lines = [
        f"""
In domain   {own.reviews} reviews, {own.reviews / own.seconds:.0f} a second: {own.alarms} alarms
            in {own.evaluations} evaluations, the highest stability index {own.highest_psi:.3f}
            accuracy {own.accuracy:.1%}
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
    found = "is regained" if is_regained(figures.rounds, figures.floor) else "is not regained yet"
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
