"""Tell whether captured requests have drifted and train anew when they have: on this machine.

What the pipeline `monitoring` does on a cluster: the stage monitor, and then the stages of
training, gate and promotion by `dvc repro`. New reviews under the same name are read anew.
"""

import argparse
import logging
import subprocess
import sys
from pathlib import Path

from components import cli
from components.arguments import count, positive
from components.errors import UserError
from components.io.files import read_json

log = logging.getLogger("retrain")

DRIFT = Path("reports/drift.json")
REPORT = Path("reports/drift.md")
PROMOTION = Path("reports/promotion.json")
INGEST = ["dvc", "repro", "--force", "--single-item", "ingest"]


def retrain(captured: str, name: str, max_psi: float, min_rows: int, newest: int) -> None:
    monitor = [sys.executable, "-m", "components.monitor", "--captured", captured, "--name", name]
    monitor += ["--max-psi", str(max_psi), "--min-rows", str(min_rows)]
    monitor += ["--newest", str(newest)]
    _run([*monitor, "--drift", str(DRIFT), "--report", str(REPORT)])
    if not read_json(DRIFT)["drifted"]:
        log.info("not confirmed; nothing is trained")
        return
    _run(INGEST)
    _run(["dvc", "repro"])
    promotion = read_json(PROMOTION)
    log.info("%s: %s", promotion["outcome"], promotion["why"])


def _run(command: list[str]) -> None:
    if code := subprocess.run(command).returncode:
        raise UserError(f"{' '.join(command[:3])} … ended with code {code}; see above")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring.retrain", description=__doc__)
    parser.add_argument("--captured", required=True, help="what the predictor keeps: its --capture")
    parser.add_argument("--name", default="sentiment", help="default: %(default)s")
    parser.add_argument("--max-psi", type=positive, default=0.2, help="default: %(default)s")
    parser.add_argument("--min-rows", type=count, default=200, help="default: %(default)s")
    parser.add_argument("--newest", type=count, default=20_000, help="default: %(default)s")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    return cli.run("retrain", lambda: retrain(**vars(args)))


if __name__ == "__main__":
    raise SystemExit(main())
