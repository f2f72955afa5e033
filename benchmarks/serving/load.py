"""Load a server with wrk and measure its cost."""

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
_BATCHES = 64  # with different texts
_TIMEOUT_SECONDS = 30  # wrk's default, 2, would count a slow answer as a timeout


@dataclass(frozen=True)
class Workload:
    """``connections`` clients, each with one request at a time of ``size`` reviews.

    Without ``rate`` the clients never pause, so that a faster server gets more requests. With
    ``rate``, in requests a second of all clients together, a client waits for a random time
    between an answer and its next request, so that all servers get about as many requests.
    """

    title: str
    connections: int
    seconds: int
    size: int = 1
    rate: float | None = None


@dataclass(frozen=True)
class Measurement:
    reviews_per_second: float
    p50: float  # milliseconds a request, as p99
    p99: float
    cpu: float  # milliseconds a review, user and system time of all processes of the server
    megabytes: float  # right after the load, as proportional set size
    failed: int


def bodies(protocol: Protocol, texts: Sequence[str], size: int) -> list[str]:
    """Return a request body for each text, or for batches that start at different texts."""
    if size == 1:
        return [protocol.body([text]) for text in texts]
    starts = range(0, len(texts), max(1, len(texts) // _BATCHES))
    doubled = [*texts, *texts]
    return [protocol.body(doubled[start : start + size]) for start in starts]


def measure(
    url: str,
    protocol: Protocol,
    texts: Sequence[str],
    workload: Workload,
    scratch: Path,
    server: int,
) -> Measurement:
    """Load the server at ``url`` after a warm-up; ``server`` is its process id.

    A protocol without batches gets one review a request.

    Raises:
        UnfitError: wrk failed, as the server does not answer.
    """
    size = workload.size if protocol.batches else 1
    file = scratch / "bodies.txt"
    file.write_text("".join(f"{body}\n" for body in bodies(protocol, texts, size)))
    address = url + protocol.path
    _wrk(address, protocol, file, replace(workload, seconds=WARM_UP_SECONDS, rate=None))
    before = cpu_seconds(server)
    result = _wrk(address, protocol, file, workload)
    spent = cpu_seconds(server) - before
    reviews = max(result["requests"], 1) * size
    return Measurement(
        reviews_per_second=reviews / result["microseconds"] * 1e6,
        p50=result["p50"] / 1000,
        p99=result["p99"] / 1000,
        cpu=spent / reviews * 1000,
        megabytes=processes.memory(server) / 1e6,
        failed=result["failed"],
    )


def _wrk(address: str, protocol: Protocol, file: Path, workload: Workload) -> dict[str, int]:
    command = ["wrk", "--threads", "1", "--connections", str(workload.connections)]
    command += ["--duration", f"{workload.seconds}s", "--timeout", f"{_TIMEOUT_SECONDS}s"]
    environment = {
        "BODIES": str(file),
        "CONTENT_TYPE": protocol.content_type,
        "CONNECTIONS": str(workload.connections),
        "PAUSE": f"{1000 * workload.connections / workload.rate if workload.rate else 0:.3f}",
    }
    result = subprocess.run(
        [*command, "--script", str(SCRIPT), address],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise UnfitError(f"failed under load: {result.stderr.strip() or result.stdout.strip()}")
    figures: dict[str, int] = json.loads(result.stdout.strip().splitlines()[-1])
    return figures
