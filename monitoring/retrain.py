"""Check whether captured requests have drifted, and retrain if they have, on this machine.

Runs what the pipeline `monitoring` runs on a cluster: the stage monitor, and on drift all stages
from ingest to promote by `dvc repro`. Ingest reads its source again: it may have new reviews.
"""

import argparse
import logging
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

from components import cli
from components.arguments import count, positive
from components.errors import UnavailableError, UserError
from components.io.files import read_json
from monitoring.settings import NAME, DriftLimits, drift_limits

log = logging.getLogger("retrain")

DRIFT = Path("reports/drift.json")
REPORT = Path("reports/drift.md")
PROMOTION = Path("reports/promotion.json")
INGEST = ["dvc", "repro", "--force", "--single-item", "ingest"]
STAGE_FAILED = re.compile(r"failed to run: .*exited with (\d+)")  # DVC itself exits with 255


def retrain(captured: str, name: str, limits: DriftLimits) -> None:
    monitor = [sys.executable, "-m", "components.monitor", "--captured", captured, "--name", name]
    monitor += ["--max-psi", str(limits.max_psi), "--min-rows", str(limits.min_rows)]
    monitor += ["--newest", str(limits.newest)]
    run([*monitor, "--drift", str(DRIFT), "--report", str(REPORT)])
    if not read_json(DRIFT)["drifted"]:
        log.info("drift is not confirmed; nothing is trained")
        return
    run(INGEST)
    run(["dvc", "repro"])
    promotion = read_json(PROMOTION)
    log.info("%s: %s", promotion["outcome"], promotion["why"])


def run(command: list[str]) -> None:
    """Run a stage, or DVC with stages, and pass its messages on.

    Raises:
        UnavailableError: the stage ended with the exit code of a failed server or network.
        UserError: the command failed in another way.
    """
    stage_code = None
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stderr or ():
            sys.stderr.write(line)
            if match := STAGE_FAILED.search(line):
                stage_code = int(match[1])
    if process.returncode:
        code = process.returncode if stage_code is None else stage_code
        error = UnavailableError if code == UnavailableError.exit_code else UserError
        raise error(f"{' '.join(command[:3])} … failed with exit code {code}; its message is above")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring.retrain", description=__doc__)
    add = parser.add_argument
    add("--captured", required=True, help="captured requests: what the predictor's --capture names")
    add("--name", default=NAME, help="registered model; default: %(default)s")
    add("--max-psi", type=positive, help="default: monitor.max_psi of params.yaml")
    add("--min-rows", type=count, help="default: monitor.min_rows of params.yaml")
    add("--newest", type=count, help="default: monitor.newest of params.yaml")
    return parser


def limits(args: argparse.Namespace) -> DriftLimits:
    """Return the limits of params.yaml, except for those that a flag sets."""
    flags = {field.name: getattr(args, field.name) for field in fields(DriftLimits)}
    return replace(drift_limits(), **{name: value for name, value in flags.items() if value})


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    return cli.run("retrain", lambda: retrain(args.captured, args.name, limits(args)))


if __name__ == "__main__":
    raise SystemExit(main())
