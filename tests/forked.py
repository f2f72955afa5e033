"""A stage's command line in a process of its own, without the seconds that its imports take.

It is forked of a process that has imported everything and run nothing. The command lines as such
are run by tests/system.
"""

import functools
import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent
STAGES = [path.stem for path in sorted((REPO / "components").glob("*.py")) if path.stem != "specs"]
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "mlflow.store.artifact.s3_artifact_repo",
        "mlflow.store.model_registry.sqlalchemy_store",
        "mlflow.store.tracking.sqlalchemy_store",
        *(f"components.{stage}" for stage in STAGES),
    ]
)


@functools.cache  # as every change of folder is one for all threads
def _start() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPO)  # where it looks for the modules
        forkserver.ensure_running()


def run(
    module: str, arguments: list[str], cwd: Path, environment: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Do as subprocess.run does with ``python -m module``, its output captured as text."""
    _start()
    with tempfile.TemporaryDirectory() as directory:
        outputs = [Path(directory) / name for name in ("stdout", "stderr")]
        given = (module, arguments, cwd, environment, outputs)
        process = _CONTEXT.Process(target=_work, args=given)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([module, *arguments], timeout)
        texts = [path.read_text() for path in outputs]
    return subprocess.CompletedProcess([module, *arguments], process.exitcode, *texts)


def _work(
    module: str, arguments: list[str], cwd: Path, environment: dict[str, str], outputs: list[Path]
) -> None:
    for number, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    multiprocessing.set_start_method("fork", force=True)  # Linux's default, for its own processes
    sys.exit(importlib.import_module(module).main(arguments))
