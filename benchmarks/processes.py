"""Time and memory of a command, with all the processes that it starts."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
_INTERVAL = 0.05  # seconds between two looks at the memory


def measured(scratch: Path, *command: object) -> tuple[float, float]:
    """Run ``python -m`` with ``command`` in ``scratch``; return seconds and peak memory in MB.

    Memory is that of all its processes together (proportional set size, so that a page which two
    of them share counts once), looked at twenty times a second, or the kernel's own word for the
    largest one where that is more.
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
        peak = max(peak, _memory(process.pid))
        time.sleep(_INTERVAL)
    if status:
        raise SystemExit(f"failed: {' '.join(map(str, command))}")
    return time.monotonic() - started, max(peak / 1e6, usage.ru_maxrss / 1e3)


def _memory(pid: int) -> float:
    total = 0
    try:
        root = psutil.Process(pid)
        for each in (root, *root.children(recursive=True)):
            total += each.memory_full_info().pss
    except psutil.Error:  # one has ended meanwhile
        pass
    return float(total)
