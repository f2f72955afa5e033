"""Forward local ports to Services of a cluster, and start a forward again when it ends.

kubectl port-forward ends when its pod is replaced.
"""

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from components.errors import UnavailableError
from components.io.processes import free_ports

START_SECONDS = 30.0
PAUSE_SECONDS = 0.5  # before the next start
NOTICE_SECONDS = 0.5  # until the end of kubectl, or its message, is seen here
_REFUSED = re.compile(r"error forwarding port .*refused")


@dataclass(frozen=True)
class Target:
    """A port of a Service."""

    namespace: str
    service: str
    port: int


class Forward:
    """A forward that lasts: kubectl runs again, on the same local port, whenever it ends."""

    def __init__(self, context: str, target: Target) -> None:
        (self.port,) = free_ports(1)
        self._command = [
            *("kubectl", f"--context={context}", "port-forward"),
            *(f"--namespace={target.namespace}", f"service/{target.service}"),
            f"{self.port}:{target.port}",
        ]
        self._closed = threading.Event()
        self._up = threading.Event()
        self._up_since = 0.0
        self._refused_at = 0.0
        self._last_line = "it printed nothing"
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Wait until requests are forwarded.

        Raises:
            UnavailableError: they are not in time.
        """
        if not self._up.wait(seconds):
            raise UnavailableError(f"{' '.join(self._command)}: {self._last_line}")

    def lost_request(self, since: float) -> bool:
        """Tell whether this forward, not the server behind it, lost a request sent at ``since``.

        It did if kubectl ended after that moment, and had not reported that the server refused
        the connection. Times are those of time.monotonic().
        """
        time.sleep(NOTICE_SECONDS)
        return self._refused_at < since and (not self._up.is_set() or self._up_since > since)

    def close(self) -> None:
        self._closed.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            with subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as process:
                self._process = process
                if self._closed.is_set():
                    process.terminate()
                for line in process.stdout or ():
                    self._read(line)
            self._up.clear()
            self._closed.wait(PAUSE_SECONDS)

    def _read(self, line: str) -> None:
        if line.startswith("Forwarding from 127.0.0.1:"):
            self._up_since = time.monotonic()
            self._up.set()
        elif _REFUSED.search(line):
            self._refused_at = time.monotonic()
        if line.strip() and not line.startswith("Handling connection"):
            self._last_line = line.strip()


@contextmanager
def forwarding(context: str, target: Target) -> Iterator[Forward]:
    """Forward a local port while the block runs.

    Raises:
        UnavailableError: kubectl cannot forward to the Service.
    """
    forward = Forward(context, target)
    try:
        forward.wait()
        yield forward
    finally:
        forward.close()
