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
    """What a command cost.

    ``read`` and ``written`` are the megabytes that went through system calls, from the page cache
    or to it as well; what is mapped into memory is in none of them.
    """

    seconds: float
    cpu_seconds: float
    megabytes: float
    read: float = 0.0
    written: float = 0.0


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
        # not yet reaped: the kernel still has the process's account
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        peak = max(peak, memory(process.pid))
        time.sleep(_INTERVAL)
    seconds, moved = time.monotonic() - started, transferred(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(map(str, command))}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, peak / 1e6, *moved)


def transferred(pid: int) -> tuple[float, float]:
    """Return the megabytes that a process and its reaped children have read and written."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    count = {name: int(value) / 1e6 for name, value in (line.split(": ") for line in lines)}
    return count["rchar"], count["wchar"]


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
