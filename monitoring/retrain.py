"""Check captured requests and their labels, and retrain if that helps, on this machine.

Runs what the pipeline `monitoring` runs on a cluster: monitor, join, queue and decide. If
requests have drifted or accuracy fell, and there are labels or other reviews that no version has
learned from, it runs all stages from source to promote by `dvc repro`.
"""

import argparse
import logging
import re
import subprocess
import sys
from pathlib import Path

from components import cli
from components.cli import count, positive
from components.decide import Training
from components.errors import UnavailableError, UserError
from components.io import dvc_lock, records
from components.io.registry import Decision
from monitoring.settings import NAME, PARAMS

log = logging.getLogger("retrain")

DRIFT = Path("reports/drift.json")
REPORT = Path("reports/drift.md")
JOINED = Path("reports/joined.json")
LABELS = Path("reports/labels.md")
DRAWN = Path("reports/queue.json")
TRAINING = Path("reports/training.json")
PROMOTION = Path("reports/promotion.json")
REPRO = [sys.executable, "-m", "dvc", "repro"]
STAGE_FAILED = re.compile(r"failed to run: .*exited with (\d+)")  # DVC itself exits with 255


def retrain(captured: str, queues: str, name: str, limits: list[str]) -> None:
    """Retrain if decide says so; ``limits`` are flags of monitor that override params.yaml."""
    run(monitor_command(captured, name, limits))
    of_captured = ["--captured", captured, "--queues", queues, "--name", name]
    run(stage("join", *of_captured, "--joined", str(JOINED), "--report", str(LABELS)))
    run(stage("queue", *of_captured, "--drawn", str(DRAWN)))
    inputs = ["--drift", str(DRIFT), "--joined", str(JOINED)]
    run(stage("decide", "--name", name, *inputs, "--training", str(TRAINING)))
    if not records.read(TRAINING, Training).train:
        return
    dvc_lock.repair()
    run(REPRO)
    decision = records.read(PROMOTION, Decision)
    log.info("%s: %s", decision.outcome, decision.why)


def monitor_command(captured: str, name: str, limits: list[str]) -> list[str]:
    outputs = ["--drift", str(DRIFT), "--report", str(REPORT)]
    return stage("monitor", "--captured", captured, "--name", name, *limits, *outputs)


def stage(name: str, *flags: str) -> list[str]:
    """Return the command line of a stage, with the parameters of this checkout."""
    return [sys.executable, "-m", f"components.{name}", "--params", str(PARAMS), *flags]


def run(command: list[str]) -> None:
    """Run a command, a stage or DVC with stages, and pass its messages on.

    Raises:
        UnavailableError: the stage ended with the exit code of a failed server or network.
        UserError: the command failed in another way.
    """
    name = command[2] if command[0] == sys.executable else " ".join(command[:2])
    log.info("running %s", name)
    stage_code = None
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stderr or ():
            sys.stderr.write(line)
            if match := STAGE_FAILED.search(line):
                stage_code = int(match[1])
    if process.returncode:
        code = process.returncode if stage_code is None else stage_code
        error = UnavailableError if code == UnavailableError.exit_code else UserError
        raise error(f"{name} failed with exit code {code}; its message is above")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring.retrain", description=__doc__)
    add = parser.add_argument
    add("--captured", required=True, help="captured requests: what the predictor's --capture names")
    add("--queues", default="", help="where queues of texts to label are, with their labels")
    add("--name", default=NAME, help="registered model; default: %(default)s")
    add("--max-psi", type=positive, help="default: monitor.max_psi of params.yaml")
    add("--min-rows", type=count, help="default: monitor.min_rows of params.yaml")
    add("--newest", type=count, help="default: monitor.newest of params.yaml")
    return parser


def limits(args: argparse.Namespace) -> list[str]:
    """Return the flags of monitor for the limits that the command line sets."""
    values = {"--max-psi": args.max_psi, "--min-rows": args.min_rows, "--newest": args.newest}
    return [word for flag, value in values.items() if value for word in (flag, str(value))]


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    return cli.run("retrain", lambda: retrain(args.captured, args.queues, args.name, limits(args)))


if __name__ == "__main__":
    raise SystemExit(main())
