"""Run a server for as long as a block of code runs, and find free ports for it."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from components.errors import UserError

START_SECONDS = 120

# for servers of this machine: it sends nothing to a proxy
open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def free_ports(count: int) -> list[int]:
    """Return TCP ports that are free at the moment, on each address of this machine."""
    with ExitStack() as stack:
        return [stack.enter_context(_listen(0)).getsockname()[1] for _ in range(count)]


def free(port: int) -> bool:
    try:
        _listen(port).close()
    except OSError:
        return False
    return True


def _listen(port: int) -> socket.socket:
    """Return a socket that listens on each address of this machine, by IPv4 and by IPv6."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


# for `mlflow server`: else it starts five more processes, for jobs that nothing here uses
MLFLOW_WITHOUT_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@contextmanager
def running(
    command: list[str],
    ready: Callable[[], bool],
    log: Path,
    environment: dict[str, str] | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    """Start a server, wait until it is ``ready``, and stop it when the block ends.

    Its output goes to ``log``. On Linux the kernel stops it if this process is killed.

    Raises:
        UserError: it ended early, or was not ready within ``START_SECONDS``.
    """
    bound = ["setpriv", "--pdeathsig", stop.name[3:]] if shutil.which("setpriv") else []
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*bound, *command], stdout=output, stderr=output, env=os.environ | (environment or {})
        )
        try:
            _wait(ready, server)
            yield
        except TimeoutError as error:
            last = log.read_text(errors="replace").strip()[-2000:] or "it printed nothing"
            raise UserError(f"{Path(command[0]).name} did not start: {last}") from error
        finally:
            server.send_signal(stop)
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(ready: Callable[[], bool], server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        if ready():
            return
        time.sleep(0.2)
    raise TimeoutError


def answers(url: str) -> bool:
    """Tell whether a server answers at ``url``; an error status counts as an answer."""
    try:
        open_url(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    return True
