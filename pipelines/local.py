"""Run a compiled pipeline here, each task in a container, against MLflow and S3 on this machine.

Everything is kept in one directory, so that the next run finds the champion of the last.
"""

import argparse
import json
import logging
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import docker
import kfp.components
import kfp.local
import requests.exceptions
from botocore.config import Config
from kfp.local import docker_task_handler

from components import cli
from components.errors import UserError
from components.io import creation, processes
from components.io.files import read_json
from pipelines import ir

# may name a file of this machine
FILE_PARAMETERS = (
    *("source", "behaviour", "captured"),
    *("exclude", "forgotten", "source_exclude", "source_forgotten"),
)
OTHER_SOURCES = "other_sources"  # names one by a key, or options with one
BUCKETS = ("mlflow", "inputs")
IMAGE_USER = 10001
LABEL = "sentiment.pipeline-local"
ULIMITS = ("nofile", "nproc")


def run(
    documents: ir.Documents, values: dict[str, Any], directory: Path, environment: dict[str, str]
) -> Path:
    """Run the pipeline and return the directory of its artifacts.

    Raises:
        UserError: a task failed, or a condition could not be evaluated.
    """
    artifacts = directory / "runs"
    artifacts.mkdir(exist_ok=True)
    before = set(artifacts.iterdir())
    runner = docker_runner(directory, artifacts, environment)
    kfp.local.init(runner, pipeline_root=str(artifacts))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "pipeline.yaml"
        path.write_text(ir.dump(documents))
        pipeline = kfp.components.load_component_from_file(str(path))
    unresolved: list[str] = []

    def inspect(record: logging.LogRecord) -> bool:
        """Drop kfp's list of outputs; keep its warnings of conditions that it takes for false."""
        message = record.getMessage()
        if "ould not resolve" in message or "ondition evaluation failed" in message:
            unresolved.append(message)
        return " outputs:" not in message

    logging.getLogger().addFilter(inspect)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Task .* settings .* have no effect")  # limits, names
            pipeline(**values)
    except RuntimeError as error:
        message = re.sub(r"\x1b\[\d+m", "", str(error))  # without colours
        task = re.search(r"Inner task failed: '([\w-]+)'", message)
        raise UserError(f"task {task[1]} failed; see above" if task else message) from error
    finally:
        logging.getLogger().removeFilter(inspect)
    if unresolved:
        raise UserError(f"a condition was not evaluated: {unresolved[0]}")
    (created,) = set(artifacts.iterdir()) - before
    return created


def _check_images(client: docker.DockerClient, documents: ir.Documents) -> None:
    for image in ir.images(documents):
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound as error:
            message = f"--image {image}: no such image here; make images builds it"
            raise UserError(message) from error


def _upload_files(values: dict[str, Any], storage: dict[str, str]) -> dict[str, Any]:
    """Upload files of this machine to S3, where a container can read them."""
    client = s3_client(storage)

    def uploaded(value: Any, folder: str) -> Any:
        if isinstance(value, dict) and "source" in value:
            return value | {"source": uploaded(value["source"], folder)}
        path = Path(str(value))
        if not path.is_file():
            return value
        client.upload_file(str(path), "inputs", f"{folder}/{path.name}")
        return f"s3://inputs/{folder}/{path.name}"

    found = values | {
        name: uploaded(values[name], name) for name in FILE_PARAMETERS if name in values
    }
    if others := values.get(OTHER_SOURCES):
        found[OTHER_SOURCES] = {
            key: uploaded(each, f"{OTHER_SOURCES}/{key}") for key, each in others.items()
        }
    return found


def _print_summary(artifacts: Path) -> None:
    """Print the outcome of the run from the reports among its artifacts."""
    lines = [f"artifacts  {artifacts}"]
    for name, key in (("drift", "why"), ("verdict", "why"), ("promotion", "outcome")):
        lines += [f"{name:10s} {read_json(path)[key]}" for path in artifacts.rglob(name)]
    # print() would not do: kfp replaces it while tasks run in parallel, and leaves it replaced
    sys.stdout.write("\n".join(["", *lines, ""]))


@contextmanager
def engine(directory: Path) -> Iterator[docker.DockerClient]:
    """Yield a client of the container engine: Docker's, or a podman service that is started."""
    with ExitStack() as stack:
        if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
            podman = shutil.which("podman")
            if podman is None:
                raise UserError("neither docker nor podman is here; on Debian: make packages")
            socket = directory / "podman.sock"
            socket.unlink(missing_ok=True)
            address = f"unix://{socket}"
            command = [podman, "system", "service", "--time", "0", address]
            stack.enter_context(processes.running(command, socket.exists, directory / "podman.log"))
            os.environ["DOCKER_HOST"] = address  # kfp creates clients of its own
            stack.callback(os.environ.pop, "DOCKER_HOST")
        try:
            client = docker.from_env()
            stack.enter_context(closing(client))
            client.ping()
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise UserError(f"container engine: {error}") from error
        yield client


def remove_leftovers(client: docker.DockerClient, directory: Path) -> None:
    """Remove the containers that a killed run in ``directory`` has left behind."""
    label = {"label": f"{LABEL}={directory}"}
    for container in client.containers.list(all=True, filters=label):
        container.remove(force=True)


def docker_runner(
    directory: Path, artifacts: Path, environment: dict[str, str]
) -> kfp.local.DockerRunner:
    """Return kfp's settings for a task's container: confined as on a cluster, able to write."""
    docker_task_handler.run_docker_container = _run_container
    user = {"user": f"{os.getuid()}:{os.getgid()}", "userns_mode": "keep-id"}
    if os.getuid() == 0:  # keep the images' own user
        os.chown(artifacts, IMAGE_USER, IMAGE_USER)
        user = {}
    return kfp.local.DockerRunner(
        environment=environment,
        labels={LABEL: str(directory)},
        network_mode="host",  # MLflow and S3 listen on loopback
        read_only=True,
        tmpfs={"/tmp": "mode=1777"},  # noqa: S108 - of the container
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        # an engine asks for a million of each by default, which a confined engine cannot have
        ulimits=[docker.types.Ulimit(name=name, soft=4096, hard=4096) for name in ULIMITS],
        **user,
    )


def _run_container(
    client: docker.DockerClient,
    image: str,
    command: list[str],
    volumes: dict[str, Any],
    **arguments: Any,
) -> int:
    """Run a task's container to its end, print its output, and return its exit status.

    Replaces kfp 2.17's own function, which has the engine remove the container at its end and
    takes a removed container for a success: with podman every failure would be one.
    """
    container = client.containers.run(image, command, volumes=volumes, detach=True, **arguments)
    try:
        for chunk in container.logs(stream=True):
            sys.stdout.write(chunk.decode(errors="replace"))
            sys.stdout.flush()
        return int(container.wait()["StatusCode"])
    finally:
        container.remove(force=True)


@contextmanager
def s3_server(directory: Path) -> Iterator[dict[str, str]]:
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
    ports = dict(zip([*names, *(f"{n}.grpc" for n in names)], processes.free_ports(8), strict=True))
    command = ["weed", "server", f"-dir={directory}", "-ip=127.0.0.1", "-s3", f"-s3.config={keys}"]
    command += ["-master.volumeSizeLimitMB=256", "-volume.max=40", "-volume.readMode=local"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # off: their default ports are fixed
    command += [f"-{name}={port}" for name, port in ports.items()]
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3.port']}",
        "AWS_ACCESS_KEY_ID": pair["accessKey"],
        "AWS_SECRET_ACCESS_KEY": pair["secretKey"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    ready = partial(processes.answers, environment["AWS_ENDPOINT_URL"])
    # SIGKILL: acknowledged writes are on disk, and a graceful shutdown takes half a minute
    with processes.running(command, ready, directory / "weed.log", stop=signal.SIGKILL):
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
        config=Config(proxies={}),  # none of the environment's, as the server is on this machine
    )


@contextmanager
def mlflow_server(directory: Path, storage: dict[str, str]) -> Iterator[dict[str, str]]:
    """Run an MLflow server on SQLite whose clients keep artifacts on S3; yield its address."""
    database = f"sqlite:///{directory}/mlflow.db"
    creation.create(directory / "mlflow.db")
    (port,) = processes.free_ports(1)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database]
    command += ["--default-artifact-root", "s3://mlflow", "--no-serve-artifacts"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    address = f"http://127.0.0.1:{port}"
    ready = partial(processes.answers, f"{address}/health")
    environment = storage | processes.MLFLOW_WITHOUT_JOBS
    with processes.running(command, ready, directory / "mlflow.log", environment):
        yield {"MLFLOW_TRACKING_URI": address}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.local", description=__doc__)
    parser.add_argument("--pipeline", default="training", help="default: %(default)s")
    parser.add_argument("--image", help="image of every task; default: as compiled")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="may be repeated"
    )
    parser.add_argument(
        "--directory", type=Path, default=Path("pipeline-local"), help="default: %(default)s"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    directory = args.directory.resolve()

    def work() -> None:
        documents = ir.load(args.pipeline, args.image)
        values = ir.parameters(documents, args.param)
        directory.mkdir(parents=True, exist_ok=True)
        with engine(directory) as client:
            _check_images(client, documents)
            remove_leftovers(client, directory)
            with (
                s3_server(directory / "s3") as storage,
                mlflow_server(directory, storage) as tracking,
            ):
                uploaded = _upload_files(values, storage)
                artifacts = run(documents, uploaded, directory, storage | tracking)
        _print_summary(artifacts)

    return cli.run("pipeline-local", work)


if __name__ == "__main__":
    raise SystemExit(main())
