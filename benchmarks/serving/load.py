"""Real load from wrk, and what it cost the server."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import processes
from benchmarks.serving.protocols import Protocol
from benchmarks.serving.server import UnfitError, cpu_seconds

SCRIPT = Path(__file__).parent / "wrk.lua"
WARM_UP_SECONDS = 1
_BATCHES = 64  # different ones
_TIMEOUT_SECONDS = 30  # wrk's own 2 would count a slow answer as none


@dataclass(frozen=True)
class Load:
    """``connections`` clients that ask one after the other, ``size`` reviews a request.

    Without ``rate`` they never pause, so that a server is asked more the quicker it answers. With
    it, in requests a second of all of them together, a client waits between an answer and its
    next request, for a random time, so that all servers are asked about as much.
    """

    title: str
    connections: int
    seconds: int
    size: int = 1
    rate: float | None = None


@dataclass(frozen=True)
class Measured:
    reviews_per_second: float
    p50: float  # milliseconds a request, like p99
    p99: float
    cpu: float  # milliseconds a review, user and system, all processes of the server
    megabytes: float  # right after the load, pages which two processes share counted once
    failed: int


def bodies(protocol: Protocol, texts: Sequence[str], size: int) -> list[str]:
    """Return a body for each text, or batches of them that start at different texts."""
    if size == 1:
        return [protocol.body([text]) for text in texts]
    starts = range(0, len(texts), max(1, len(texts) // _BATCHES))
    doubled = [*texts, *texts]
    return [protocol.body(doubled[start : start + size]) for start in starts]


def measure(
    url: str,
    protocol: Protocol,
    texts: Sequence[str],
    load: Load,
    scratch: Path,
    server: int,
) -> Measured:
    """Load the server at ``url``, whose process is ``server``, after a second that is not counted.

    A batch to a protocol that has none is a request for each of its reviews.

    Raises:
        UnfitError: the server no longer answers at all.
    """
    size = load.size if protocol.batches else 1
    file = scratch / "bodies.txt"
    file.write_text("".join(f"{body}\n" for body in bodies(protocol, texts, size)))
    address = url + protocol.path
    _wrk(address, protocol, file, replace(load, seconds=WARM_UP_SECONDS, rate=None))
    before = cpu_seconds(server)
    found = _wrk(address, protocol, file, load)
    spent = cpu_seconds(server) - before
    reviews = max(found["requests"], 1) * size
    return Measured(
        reviews_per_second=reviews / found["microseconds"] * 1e6,
        p50=found["p50"] / 1000,
        p99=found["p99"] / 1000,
        cpu=spent / reviews * 1000,
        megabytes=processes.memory(server) / 1e6,
        failed=found["failed"],
    )


def _wrk(address: str, protocol: Protocol, file: Path, load: Load) -> dict[str, int]:
    command = ["wrk", "--threads", "1", "--connections", str(load.connections)]
    command += ["--duration", f"{load.seconds}s", "--timeout", f"{_TIMEOUT_SECONDS}s"]
    environment = {
        "BODIES": str(file),
        "CONTENT_TYPE": protocol.content_type,
        "CONNECTIONS": str(load.connections),
        "PAUSE": f"{1000 * load.connections / load.rate if load.rate else 0:.3f}",
    }
    result = subprocess.run(
        [*command, "--script", str(SCRIPT), address],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise UnfitError(f"failed under load: {result.stderr.strip() or result.stdout.strip()}")
    found: dict[str, int] = json.loads(result.stdout.strip().splitlines()[-1])
    return found
