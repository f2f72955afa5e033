"""A server with all its processes: started, counted, ended."""

import os
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

START_SECONDS = 90
_TICKS = os.sysconf("SC_CLK_TCK")


class NotStartedError(Exception):
    """The server does not serve; the message is what it said of that."""


@contextmanager
def running(
    command: list[str], environment: dict[str, str], directory: Path, ready: Callable[[], bool]
) -> Iterator[int]:
    """Run a server in ``directory`` until the block ends; yield its process id once ``ready``.

    Raises:
        NotStartedError: it ended, or was not ready in time.
    """
    log = directory / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=directory, env=os.environ | environment, stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not ready():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise NotStartedError(_reason(log.read_text(errors="replace")))
                time.sleep(0.2)
            yield server.pid
        finally:
            left = tree(server.pid)
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(timeout=20)
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            server.wait()


def _reason(output: str) -> str:
    """Return the last line that names an error, or else the last one."""
    lines = output.strip().splitlines() or ["it printed nothing"]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1])


def tree(root: int) -> list[int]:
    """Return ``root`` and the processes below it."""
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            children[int(_stat(path)[1])].append(int(path.parent.name))
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def cpu_seconds(root: int) -> float:
    """Return user and system time of the tree, of its ended processes too."""
    ticks = 0
    for pid in tree(root):
        with suppress(OSError):
            ticks += sum(map(int, _stat(Path(f"/proc/{pid}/stat"))[11:15]))
    return ticks / _TICKS


def peak_megabytes(root: int) -> float:
    """Return the sum of the processes' peaks of resident memory; pages they share count twice."""
    kilobytes = 0
    for pid in tree(root):
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return kilobytes / 1000


def _stat(path: Path) -> list[str]:
    """Return the fields behind the command's name, which may hold spaces: state, parent, ..."""
    return path.read_text().rpartition(")")[2].split()
