"""What a deployment needs: a registry, a stand-in for a cluster, a Prometheus and an overlay."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from components import register
from components.io import registry, reviews
from components.io.files import read_json
from deploy import history
from deploy.history import Deployment
from tests.cluster import StandInCluster, overlay_in, prometheus, repeated, stand_in_cluster


class Site:
    """A registry with versions 1 and 2, a cluster, a Prometheus, and an overlay."""

    def __init__(self, directory: Path, cluster: StandInCluster, address: str) -> None:
        self.directory, self.cluster, self.address = directory, cluster, address
        self.overlay = overlay_in(directory, "local")
        self.lease = cluster.objects / f"lease-{cluster.service.manager}.json"

    def command(self, version: int, *arguments: str) -> list[str]:
        command = [sys.executable, "-m", "deploy", "--version", str(version)]
        command += ["--overlay", str(self.overlay), "--prometheus", self.address]
        command += [
            "--step-seconds",
            "2",
            "--min-requests",
            "60",
            "--max-step-seconds",
            "60",
            "--settle-seconds",
            "1",
            "--autoscaler-seconds",
            "1",
        ]
        # CI machines are noisy, and a slow predictor is far slower here
        return [*command, "--margin", "5", *arguments]

    def deploy(self, version: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(version, *arguments),
            cwd=self.directory,
            env=os.environ | self.cluster.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )

    @contextmanager
    def started(self, version: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            self.command(version, *arguments),
            cwd=self.directory,
            env=os.environ | self.cluster.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            yield process

    def history(self) -> list[Deployment]:
        """Return the deployments, newest first."""
        with registry.connected() as client:
            return history.deployments(client, "sentiment")

    def wait_for(self, **weights: int) -> None:
        self.wait_routed(lambda _: self.cluster.weights == weights)

    def wait_routed(self, wanted: Callable[[dict[str, int]], bool]) -> None:
        deadline = time.monotonic() + 300
        while not wanted(self.cluster.routed):
            assert time.monotonic() < deadline, self.cluster.routed
            time.sleep(0.02)


@contextmanager
def site_in(directory: Path, *versions) -> Iterator[Site]:
    """Yield a site with registered models, none of which is deployed."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{directory}/registry.db")
        patch.chdir(directory)
        for each in versions:
            digest = reviews.digest(reviews.labelled(each.test))
            metrics, findings = read_json(each.metrics), read_json(each.findings)
            register.register(each.model, metrics, findings, each.plots, digest, "sentiment")
        cluster = stack.enter_context(stand_in_cluster(directory))
        address = stack.enter_context(prometheus(directory))
        yield Site(directory, cluster, address)


@contextmanager
def clients(site: Site) -> Iterator[None]:
    """Send requests beside the block."""
    with ExitStack() as stack:
        for _ in range(2):
            session = stack.enter_context(requests.Session())
            stack.enter_context(repeated(lambda session=session: site.cluster.call(session), 0.006))
        yield


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    output, error = process.communicate(timeout=600)
    return subprocess.CompletedProcess(process.args, process.returncode, output, error)
