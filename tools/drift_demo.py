"""Show the loop once: requests drift, an alert fires, training starts, and the gate decides.

In a clone of this repository, with a registry of its own, it serves the champion, sends reviews of
its kind and then sentences of another kind, and says when what happened. Prometheus and
Alertmanager are real, and their rules are those of the cluster; their time runs --times as fast,
so that a wait of ten minutes takes one.
"""

import argparse
import logging
import os
import subprocess
import tempfile
from contextlib import chdir
from pathlib import Path

import pandas as pd
import yaml

from components import cli, ingest
from components.arguments import count, positive
from components.errors import UserError
from components.io import reviews
from tools.loop import ALERT, MAX_PSI, RATE, Figures, loop

log = logging.getLogger("drift-demo")

ROOT = Path(__file__).parent.parent
ARRIVED = Path("arrived.parquet")


def prepare(project: Path) -> None:
    """Clone this repository and bring a champion about, from what DVC has kept here if it can."""
    _run("git", "clone", "--quiet", str(ROOT), str(project))
    with chdir(project):
        if (cache := ROOT / ".dvc/cache").exists():
            _run("dvc", "cache", "dir", "--local", str(cache))
        _run("dvc", "repro", "--quiet")


def arrive(project: Path) -> tuple[list[str], list[str]]:
    """Lay labelled reviews of both kinds where training looks for them next; return what to send.

    That is the reviews that the champion was tested on, and the half of the sentences that is not
    among the labelled ones.
    """
    with chdir(project):
        path = Path("sentences.parquet")
        ingest.ingest("builtin:rotten_tomatoes", path)
        sentences = reviews.read(path).sample(frac=1, random_state=0)
        half = len(sentences) // 2
        known = reviews.read(Path("data/reviews.parquet"))
        labelled = pd.concat([known, sentences[:half]], ignore_index=True)
        labelled[["text", "label"]].to_parquet(ARRIVED)
        params = yaml.safe_load(Path("params.yaml").read_text())
        params["ingest"]["source"] = str(ARRIVED)
        Path("params.yaml").write_text(yaml.safe_dump(params))
        tested = pd.concat(reviews.labelled(Path("data/test")))
        return tested["text"].tolist(), sentences["text"][half:].tolist()


def _run(*command: str) -> None:
    if subprocess.run(command).returncode:
        raise UserError(f"{' '.join(command)} failed; its own message is above")


def summary(found: Figures, times: float) -> str:
    rate = found.in_domain / found.in_domain_seconds
    return f"""
In domain   {found.in_domain} reviews, {rate:.0f} a second: {found.false_alarms} alarms
            in {found.looks} evaluations, the highest stability index {found.highest_psi:.3f}
Shift       index above {MAX_PSI} after {found.passed} texts of another kind
Alert       {ALERT} fires after {found.fired} texts and {found.fired_seconds:.0f} s,
            at {RATE:.0f} texts a second and in a time {times:g} times as fast
Receiver    starts training {found.started_seconds:.1f} s later
Monitor     confirms: {found.drift}
Gate        {found.outcome} after {found.trained_seconds:.0f} s: {found.why}
Champion    version {found.version} is served
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.drift_demo", description=__doc__)
    add = parser.add_argument
    add("--in-domain", type=count, default=100_000, help="reviews; default: %(default)s")
    add("--directory", type=Path, help="keep all of it there; default: in none")
    add("--times", type=positive, default=10.0, help="default: %(default)s")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        with tempfile.TemporaryDirectory(prefix="drift-demo-") as scratch:
            project = (args.directory or Path(scratch) / "project").resolve()
            if project.exists():
                raise UserError(f"--directory {project}: it exists; name one that does not")
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{project}/mlflow.db"
            log.info("a champion in %s", project)
            prepare(project)
            own, other = arrive(project)
            log.info("serving it, with Prometheus and Alertmanager")
            found = loop(project, own, other, args.in_domain, args.times)
        print(summary(found, args.times))

    return cli.run("drift-demo", work)


if __name__ == "__main__":
    raise SystemExit(main())
