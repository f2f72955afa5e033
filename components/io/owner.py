"""Tell whether the process that opened a run still works on it, from tags of the run."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

HOST, PID, STARTED = "process.host", "process.pid", "process.started"
_DAY = 24 * 3600.0  # seconds after which a process of another host is taken for dead
_HIDDEN = "hidden"  # by /proc's option hidepid
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def tags() -> dict[str, str]:
    """Return the tags that name this process: a pid alone is used again by later processes."""
    return {HOST: _host(), PID: str(os.getpid()), STARTED: _started(os.getpid())}


def is_dead(tags: Mapping[str, str], opened: float) -> bool:
    """Tell whether the process with these tags has ended; it opened its run at ``opened``.

    The processes of another host, or of an older release that set no tags, cannot be seen.
    """
    if tags.get(HOST) != _host():
        return time.time() - opened > _DAY
    pid = int(tags[PID])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it is another user's
        pass
    return _started(pid) not in (tags[STARTED], _HIDDEN)


def _host() -> str:
    """Return what identifies a set of pids: host, boot, and the namespace of a container."""
    boot = _BOOT.read_text().strip() if _BOOT.exists() else ""
    return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"


def _started(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot, "" if it has ended."""
    try:
        # the name of the program, in brackets, may hold blanks and brackets
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _HIDDEN
    state, ticks = fields[0], fields[19]
    return "" if state in "ZX" else ticks
