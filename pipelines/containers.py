"""The container engine, and how kfp runs a task in it."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import docker
import requests.exceptions
from kfp import local
from kfp.local import docker_task_handler

from components.errors import UserError
from components.io import processes

USER = 10001  # of the images
LABEL = "sentiment.pipeline-local"
BOUNDED = ("nofile", "nproc")


@contextmanager
def engine(directory: Path) -> Iterator[docker.DockerClient]:
    """Yield a client of the container engine: Docker's, or a podman service of our own."""
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
            os.environ["DOCKER_HOST"] = address  # kfp makes clients of its own
            stack.callback(os.environ.pop, "DOCKER_HOST")
        try:
            client = docker.from_env()
            stack.enter_context(closing(client))
            client.ping()
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise UserError(f"container engine: {error}") from error
        yield client


def clear(client: docker.DockerClient, directory: Path) -> None:
    """End the containers that a killed run in ``directory`` has left behind."""
    label = {"label": f"{LABEL}={directory}"}
    for container in client.containers.list(all=True, filters=label):
        container.remove(force=True)


def runner(directory: Path, artifacts: Path, environment: dict[str, str]) -> local.DockerRunner:
    """Return what tells kfp how to run a task: confined as on a cluster, and able to write."""
    docker_task_handler.run_docker_container = _run
    user = {"user": f"{os.getuid()}:{os.getgid()}", "userns_mode": "keep-id"}
    if os.getuid() == 0:  # stay the images' own user
        os.chown(artifacts, USER, USER)
        user = {}
    return local.DockerRunner(
        environment=environment,
        labels={LABEL: str(directory)},
        network_mode="host",  # MLflow and S3 listen on loopback
        read_only=True,
        tmpfs={"/tmp": "mode=1777"},  # noqa: S108 - of the container
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        # engines ask for a million of each, which they may not be given where they run confined
        ulimits=[docker.types.Ulimit(name=name, soft=4096, hard=4096) for name in BOUNDED],
        **user,
    )


def _run(
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
