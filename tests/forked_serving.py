"""The predictor in a process of its own, without the two seconds of CPU that its imports take.

It is forked of a process that has imported what ``python -m serving`` imports, and run nothing.
"""

import contextlib
import functools
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

REPO = Path(__file__).parent.parent


class Predictor:
    """The methods of subprocess.Popen that tests/conftest.py calls, for a process of another."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """Return None while the process runs, and then 0, whatever its exit code was."""
        return None if Path(f"/proc/{self.pid}").exists() else 0

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def wait(self, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("serving", timeout)
            time.sleep(0.01)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


def start(module: str, arguments: list[str], cwd: Path, output: IO[bytes]) -> Predictor:
    """Do as subprocess.Popen does with ``python -m module``."""
    template = _template()
    given = (module, arguments, str(cwd), str(output.name), dict(os.environ))
    template.stdin.write(json.dumps(given) + "\n")
    template.stdin.flush()
    return Predictor(int(template.stdout.readline()))


@functools.cache
def _template() -> subprocess.Popen[str]:
    """Start the process to fork from; it ends with this one, which holds its standard input."""
    command = [sys.executable, "-m", "tests.forked_serving"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=REPO, stdin=pipe, stdout=pipe, text=True)


def main() -> int:
    """Fork once for each line of standard input, and answer with the process id."""
    importlib.import_module("serving.start")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that no process that ended stays a zombie
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if not pid:
            _run(*json.loads(line))
            return 0
        print(pid, flush=True)
    return 0


def _run(
    module: str, arguments: list[str], cwd: str, output: str, environment: dict[str, str]
) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(os.open(output, os.O_WRONLY | os.O_APPEND), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    raise SystemExit(main())
