"""Start and stop a server, and measure the CPU time of its processes."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

START_SECONDS = 90
_HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # for all, as in our image


class UnfitError(Exception):
    """A server cannot be measured; the message says why."""


@contextmanager
def running(
    command: list[str], environment: dict[str, str], directory: Path, ready: Callable[[], bool]
) -> Iterator[int]:
    """Run a server in ``directory`` until the block ends; yield its process id once ``ready``.

    Raises:
        UnfitError: the server ended, or was not ready within ``START_SECONDS``.
    """
    log = directory / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=directory,
            env=os.environ | _HUGE_PAGES | environment,
            stdout=output,
            stderr=output,
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not ready():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise UnfitError(f"not started: {_reason(log)}")
                time.sleep(0.2)
            yield server.pid
        finally:
            _stop(server)


def _reason(log: Path) -> str:
    """Return the last line that names an error, or else the last line."""
    lines = log.read_text(errors="replace").strip().splitlines() or ["it printed nothing"]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1])


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Terminate the server, and kill its processes that are left."""
    left = process_tree(server.pid)
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(timeout=20)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    server.wait()


def process_tree(root: int) -> list[psutil.Process]:
    """Return the process ``root`` and its descendants."""
    try:
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(root: int) -> float:
    """Return user and system time of the process tree, ended children included."""
    total = 0.0
    for process in process_tree(root):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
