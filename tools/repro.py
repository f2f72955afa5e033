"""Run the stages that are out of date (dvc repro), also after a run that was interrupted.

The arguments are those of `dvc repro`. Without any, a summary of the results comes at the end.
"""

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from components import cli
from components.errors import UserError
from components.io import dvc_lock
from tools import summary

LOCK = dvc_lock.DVC / "repro.lock"


def repro(*arguments: str) -> None:
    """Repair what an interrupted run left, and run the stages that are out of date.

    Raises:
        UserError: a stage failed, or another command of DVC is running.
    """
    with _alone():
        dvc_lock.repair()
        if subprocess.run([sys.executable, "-m", "dvc", "repro", *arguments]).returncode:
            raise UserError("a stage failed; its own message is above")


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of this checkout; the kernel releases it when the process ends.

    DVC would report the stage that both want, and propose to delete a file that is in use.
    """
    if not dvc_lock.DVC.parent.exists():  # DVC says that this is no checkout
        yield
        return
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                "another make train, demo, retrain or release runs in this checkout;"
                " wait for its end"
            ) from None
        yield


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv

    def work() -> None:
        repro(*arguments)
        if not arguments:  # all stages
            print("", *summary.lines(), f"Next        {summary.next_step()}", "", sep="\n")

    return cli.run("repro", work)


if __name__ == "__main__":
    raise SystemExit(main())
