"""Register the model of dvc.lock, gate it, promote it if it passes, and write its notes."""

import argparse
import sys
from pathlib import Path

from components import cli
from components.errors import UserError
from components.io.files import read_json
from tools import data_remote, lock
from tools.commands import run
from tools.repro import repro

PROMOTION = Path("reports/promotion.json")
NOTES = Path("reports/notes.md")


def release() -> None:
    """Run the stages that need the registry, on the data and model that the lock names.

    Raises:
        UserError: the lock is stale, a stage failed, or the gate refused the model.
    """
    lock.check(None)
    data_remote.transfer("pull")
    repro("--force", "--single-item", "register", "gate", "promote")
    promotion = read_json(PROMOTION)
    if promotion["outcome"] == "refused":
        raise UserError(f"{PROMOTION}: refused: {promotion['why']}")
    run(sys.executable, "-m", "components.notes", "--output", str(NOTES))


def main(argv: list[str] | None = None) -> int:
    argparse.ArgumentParser(prog="python -m tools.release", description=__doc__).parse_args(argv)
    return cli.run("release", release)


if __name__ == "__main__":
    raise SystemExit(main())
