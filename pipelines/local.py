"""Run a compiled pipeline here, each task in a container, against MLflow and S3 on this machine.

Everything is kept in one directory, so that the next run finds the champion of the last.
"""

import argparse
import logging
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import docker
import requests.exceptions
from kfp import components as kfp_components
from kfp import local
from kfp.local import docker_task_handler

from components import errors
from components.errors import StageError
from components.files import read_json
from pipelines import ir, servers

USER = 10001  # of the images
LABEL = "sentiment.pipeline-local"
BOUNDED = ("nofile", "nproc")
UPLOADED = ("source", "captured")  # parameters that may name a file of this machine


@contextmanager
def engine(directory: Path) -> Iterator[docker.DockerClient]:
    """Yield a client of the container engine: Docker's, or a podman service of our own."""
    with ExitStack() as stack:
        if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
            podman = shutil.which("podman")
            if podman is None:
                raise StageError("neither docker nor podman is here; on Debian: make packages")
            socket = directory / "podman.sock"
            address = f"unix://{socket}"
            log = directory / "podman.log"
            command = [podman, "system", "service", "--time", "0", address]
            stack.enter_context(servers.running(command, socket.exists, log))
            os.environ["DOCKER_HOST"] = address
            stack.callback(os.environ.pop, "DOCKER_HOST")
        try:
            client = stack.enter_context(closing(docker.from_env()))
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise StageError(f"container engine: {error}") from error
        yield client


def run(
    documents: ir.Documents, values: dict[str, Any], directory: Path, environment: dict[str, str]
) -> Path:
    """Run the pipeline and return the directory of its artifacts.

    Raises:
        StageError: a task failed.
    """
    docker_task_handler.run_docker_container = _run_container
    unresolved: list[str] = []

    def follow(record: logging.LogRecord) -> bool:
        """Leave out the listing of outputs; keep what kfp warns of and then takes for false."""
        message = record.getMessage()
        if "ould not resolve" in message or "ondition evaluation failed" in message:
            unresolved.append(message)
        return " outputs:" not in message

    logging.getLogger().addFilter(follow)
    artifacts = directory / "runs"
    artifacts.mkdir(exist_ok=True)
    before = set(artifacts.iterdir())
    local.init(
        local.DockerRunner(
            environment=environment,
            labels={LABEL: str(directory)},
            network_mode="host",  # MLflow and S3 listen on loopback
            read_only=True,
            tmpfs={"/tmp": "mode=1777"},  # noqa: S108 - of the container
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            # engines ask for a million of each, which they may not be given where they run confined
            ulimits=[docker.types.Ulimit(name=name, soft=4096, hard=4096) for name in BOUNDED],
            **_user(artifacts),
        ),
        pipeline_root=str(artifacts),
    )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "pipeline.yaml"
        path.write_text(ir.dump(documents))
        pipeline = kfp_components.load_component_from_file(str(path))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Task .* settings .* have no effect")  # limits, names
        try:
            pipeline(**values)
        except RuntimeError as error:
            task = re.findall(r"Inner task failed: '(?:\x1b\[\d+m)*([\w-]+)", str(error))
            raise StageError(
                f"task {''.join(task) or error} failed; what it said is above"
            ) from error
    if unresolved:
        raise StageError(f"a condition was not evaluated: {unresolved[0]}")
    (made,) = set(artifacts.iterdir()) - before
    return made


def _run_container(
    client: docker.DockerClient,
    image: str,
    command: list[str],
    volumes: dict[str, Any],
    **arguments: Any,
) -> int:
    """Run a task's container to its end, print what it says, and return its exit status.

    Stands in for kfp 2.17's own function, which has the engine remove the container as it ends
    and takes one that is gone for a success: with podman that is every failure.
    """
    container = client.containers.run(image, command, volumes=volumes, detach=True, **arguments)
    try:
        for chunk in container.logs(stream=True):
            sys.stdout.write(chunk.decode(errors="replace"))
            sys.stdout.flush()
        return int(container.wait()["StatusCode"])
    finally:
        container.remove(force=True)


def _user(artifacts: Path) -> dict[str, str]:
    """Let a container write the artifacts: as the images' user for root, or else as ourselves."""
    if os.getuid() == 0:
        os.chown(artifacts, USER, USER)
        return {}
    return {"user": f"{os.getuid()}:{os.getgid()}", "userns_mode": "keep-id"}


def _ready(client: docker.DockerClient, documents: ir.Documents, directory: Path) -> None:
    """Check that the images are here, and end what a run that was killed has left behind."""
    for image in ir.images(documents):
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound as error:
            raise StageError(
                f"--image {image}: no such image here; make images builds it"
            ) from error
    label = {"label": f"{LABEL}={directory}"}
    for container in client.containers.list(all=True, filters=label):
        container.remove(force=True)


def _uploaded(values: dict[str, Any], storage: dict[str, str]) -> dict[str, Any]:
    """Bring files of this machine to S3, where a container can read them."""
    given = dict(values)
    for name in UPLOADED:
        path = Path(str(given.get(name, "")))
        if path.is_file():
            servers.s3_client(storage).upload_file(str(path), "inputs", path.name)
            given[name] = f"s3://inputs/{path.name}"
    return given


def _summary(made: Path) -> None:
    """Say what the run came to, by the reports that are among its artifacts."""
    lines = [f"artifacts  {made}"]
    for name, key in (("drift", "why"), ("verdict", "why"), ("promotion", "outcome")):
        lines += [f"{name:10s} {read_json(path)[key]}" for path in made.rglob(name)]
    # not by print, which kfp leaves changed when tasks ran side by side
    sys.stdout.write("\n".join(["", *lines, ""]))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.local", description=__doc__)
    parser.add_argument("--pipeline", default="training", help="default: %(default)s")
    parser.add_argument("--image", help="to run every task in; default: as compiled")
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
        with (
            engine(directory) as client,
            servers.s3(directory / "s3") as storage,
            servers.mlflow(directory, storage) as tracking,
        ):
            _ready(client, documents, directory)
            made = run(documents, _uploaded(values, storage), directory, storage | tracking)
        _summary(made)

    return errors.run("pipeline-local", work)


if __name__ == "__main__":
    raise SystemExit(main())
