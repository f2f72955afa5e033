"""Time and memory of a command, with all the processes that it starts."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path(__file__).parent.parent
_INTERVAL = 0.05  # seconds between two looks at the memory


class Cost(NamedTuple):
    seconds: float
    cpu_seconds: float
    megabytes: float


def measured(scratch: Path, *command: object) -> Cost:
    """Run ``python -m`` with ``command`` in ``scratch`` and return what it took.

    Memory is the peak of all its processes together, looked at twenty times a second, as
    proportional set size: a page which two of them share counts once. What the kernel calls the
    peak of a child is no use: it begins with the size of the process that started it.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        cwd=scratch,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak = 0.0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        peak = max(peak, memory(process.pid))
        time.sleep(_INTERVAL)
    if status:
        raise SystemExit(f"failed: {' '.join(map(str, command))}")
    return Cost(time.monotonic() - started, usage.ru_utime + usage.ru_stime, peak / 1e6)


def memory(pid: int) -> float:
    """Return the bytes that a process and all below it hold at the moment."""
    total = 0
    try:
        root = psutil.Process(pid)
        for each in (root, *root.children(recursive=True)):
            total += each.memory_full_info().pss
    except psutil.Error:  # one has ended meanwhile
        pass
    return float(total)
