"""MLflow and S3 on loopback, for as long as a block runs."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import boto3

from components.errors import UserError
from components.io import registry

START_SECONDS = 120
BUCKETS = ("mlflow", "inputs")


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on at the moment."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def running(
    command: list[str],
    ready: Callable[[], bool],
    log: Path,
    environment: dict[str, str] | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    """Run a server until the block ends, from the moment that it is ``ready``.

    What it prints goes to ``log``. On Linux it does not outlive us, even if we are killed.
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
    """Tell whether a server answers at ``url``, be it with an error."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, OSError):
        return False
    return True


@contextmanager
def s3(directory: Path) -> Iterator[dict[str, str]]:
    """Run SeaweedFS on the files in ``directory`` and yield the environment that AWS tools read."""
    directory.mkdir(parents=True, exist_ok=True)
    keys = directory / "s3.json"
    if not keys.exists():
        pair = {"accessKey": secrets.token_hex(8), "secretKey": secrets.token_hex(20)}
        identity = {"name": "local", "credentials": [pair], "actions": ["Admin"]}
        keys.touch(mode=0o600)
        keys.write_text(json.dumps({"identities": [identity]}))
    pair = json.loads(keys.read_text())["identities"][0]["credentials"][0]
    names = ["master.port", "volume.port", "filer.port", "s3.port"]
    ports = dict(zip([*names, *(f"{n}.grpc" for n in names)], free_ports(8), strict=True))
    command = ["weed", "server", f"-dir={directory}", "-ip=127.0.0.1", "-s3", f"-s3.config={keys}"]
    command += ["-master.volumeSizeLimitMB=256", "-volume.max=40", "-volume.readMode=local"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # else on ports that are always the same
    command += [f"-{name}={port}" for name, port in ports.items()]
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3.port']}",
        "AWS_ACCESS_KEY_ID": pair["accessKey"],
        "AWS_SECRET_ACCESS_KEY": pair["secretKey"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    ready = partial(answers, environment["AWS_ENDPOINT_URL"])
    # what it has acknowledged is on disk, and its graceful end takes half a minute
    with running(command, ready, directory / "weed.log", stop=signal.SIGKILL):
        client = s3_client(environment)
        present = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        for bucket in set(BUCKETS) - present:
            client.create_bucket(Bucket=bucket)
        yield environment


def s3_client(environment: dict[str, str]) -> "boto3.client":
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )


@contextmanager
def mlflow(directory: Path, storage: dict[str, str]) -> Iterator[dict[str, str]]:
    """Run an MLflow server on SQLite whose clients keep artifacts on S3; yield its address."""
    database = f"sqlite:///{directory}/mlflow.db"
    registry.create_database(database)
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database]
    command += ["--default-artifact-root", "s3://mlflow", "--no-serve-artifacts"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    address = f"http://127.0.0.1:{port}"
    ready = partial(answers, f"{address}/health")
    with running(command, ready, directory / "mlflow.log", storage):
        yield {"MLFLOW_TRACKING_URI": address}
