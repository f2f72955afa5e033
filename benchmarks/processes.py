"""Measure time and memory of a command and all processes that it starts."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path(__file__).parent.parent
_INTERVAL = 0.05  # seconds between two samples of the memory


class Cost(NamedTuple):
    seconds: float
    cpu_seconds: float
    megabytes: float


def measure(scratch: Path, *command: object) -> Cost:
    """Run ``python -m`` with ``command`` in ``scratch`` and return its cost.

    Memory is the peak over all its processes together, sampled twenty times a second, as
    proportional set size: a page that two processes share counts once. The kernel's own peak of a
    child would not do, as it includes the size of the parent at the fork.
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
    """Return the proportional set size of a process and its descendants, in bytes."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_full_info().pss
    except psutil.Error:  # a process has ended meanwhile
        pass
    return float(total)
