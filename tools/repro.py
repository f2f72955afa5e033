"""Run the stages that are out of date (dvc repro), also after a run that was interrupted.

The arguments are those of `dvc repro`.
"""

import subprocess
import sys

from components import cli
from components.errors import UserError
from components.io import dvc_lock


def repro(*arguments: str) -> None:
    """Repair what an interrupted run left, and run the stages that are out of date.

    Raises:
        UserError: a stage failed, or another command of DVC is running.
    """
    dvc_lock.repair()
    if subprocess.run([sys.executable, "-m", "dvc", "repro", *arguments]).returncode:
        raise UserError("a stage failed; its own message is above")


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    return cli.run("repro", lambda: repro(*arguments))


if __name__ == "__main__":
    raise SystemExit(main())
