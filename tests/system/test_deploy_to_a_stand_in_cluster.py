"""Canaries that a real Prometheus watches: real predictors, one of them made faulty.

There is no API server here: tests/cluster.py says what stands in for the cluster.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import pytest
import requests

from components import register
from components.io import registry, reviews
from components.io.files import read_json
from deploy import history, lease
from deploy.__main__ import WENT_BACK
from tests.cluster import overlay_in, prometheus, repeated, stand_in
from tests.conftest import REPO
from tests.serving import PREDICT, head

MISSING = [name for name in ("kubectl", "prometheus") if not shutil.which(name)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}: make packages")


class Site:
    """A registry with versions 1 and 2, a cluster, a Prometheus, and an overlay."""

    def __init__(self, directory, cluster, address: str) -> None:
        self.directory, self.cluster, self.address = directory, cluster, address
        self.overlay = overlay_in(directory, "local")

    def command(self, version: int, *arguments: str) -> list[str]:
        command = [sys.executable, "-m", "deploy", "--version", str(version)]
        command += ["--overlay", str(self.overlay), "--prometheus", self.address]
        command += ["--step-seconds", "2", "--min-requests", "60", "--max-step-seconds", "60"]
        # machines of CI are noisy, and what is slow here is slow by far
        return [*command, "--margin", "5", *arguments]

    def deploy(self, version: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(version, *arguments),
            cwd=self.directory,
            env=os.environ | self.cluster.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    @contextmanager
    def started(self, version: int, *arguments: str):
        with subprocess.Popen(
            self.command(version, *arguments),
            cwd=self.directory,
            env=os.environ | self.cluster.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            yield process

    def last(self) -> dict[str, str]:
        with registry.connected() as client:
            return history.history(client, "sentiment")[0]

    def wait_for(self, **weights: int) -> None:
        deadline = time.monotonic() + 60
        while self.cluster.weights != weights:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(scope="module")
def site(tmp_path_factory, trained, trained_worse):
    directory = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{directory}/registry.db")
        patch.chdir(directory)
        for each in (trained, trained_worse):
            digest = reviews.digest(reviews.labelled(each.test))
            metrics, findings = read_json(each.metrics), read_json(each.findings)
            register.register(each.model, metrics, findings, each.plots, digest, "sentiment")
        cluster = stack.enter_context(stand_in(directory))
        address = stack.enter_context(prometheus(directory))
        site = Site(directory, cluster, address)
        result = site.deploy(1)
        assert result.returncode == 0, result.stderr
        yield site


@contextmanager
def callers(site: Site):
    with ExitStack() as stack:
        for _ in range(2):
            session = stack.enter_context(requests.Session())
            stack.enter_context(repeated(lambda session=session: site.cluster.call(session), 0.006))
        yield


def test_the_first_version_and_the_same_again(site):
    assert site.cluster.weights == {"v1": 100}
    assert (site.last()["from"], site.last()["to"], site.last()["outcome"]) == (
        *("none", "1"),
        "deployed",
    )
    before = (site.overlay / "model.yaml").stat()
    process = site.cluster.processes["v1"]
    result = site.deploy(1)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert (site.overlay / "model.yaml").stat() == before
    assert site.cluster.processes == {"v1": process}
    with registry.connected() as client:
        assert len(history.history(client, "sentiment")) == 1


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    output, error = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, output, error)


def assert_rolled_back(site: Site, result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == WENT_BACK, result.stderr
    site.wait_for(v1=100)
    assert "canary" not in (site.overlay / "model.yaml").read_text()
    last = site.last()
    assert (last["from"], last["to"], last["outcome"]) == ("1", "2", "rolled_back")
    for word in words:
        assert word in last["why"]
    assert result.stderr.splitlines()[-1] == f"deploy: rolled back, version 2: {last['why']}"


def test_a_canary_that_turns_its_callers_away_is_taken_back(site):
    site.cluster.faults["v2"] = {"flags": ["--max_in_flight", "1", "--max_body_seconds", "60"]}
    with callers(site), site.started(2, "--canary", "10") as deployment:
        site.wait_for(v1=90, v2=10)
        with socket.create_connection(("127.0.0.1", site.cluster.ports["v2"])) as held:
            # a caller that stalls holds the only place
            held.sendall(head(PREDICT, 100_000) + b" " * 50_000)
            result = ended(deployment)
    assert_rolled_back(site, result, "at 10% the canary is worse", "errors of")


# threads beside the server that want the interpreter all the time, once there is a file
BUSY = """\
import os, threading, time
def spin():
    while not os.path.exists(os.environ["BUSY"]):
        time.sleep(0.1)
    while True:
        pass
for _ in range(8):
    threading.Thread(target=spin, daemon=True).start()
"""


def test_a_slow_canary_is_taken_back(site):
    (site.directory / "sitecustomize.py").write_text(BUSY)
    busy = site.directory / "busy"
    environment = {"PYTHONPATH": f"{REPO}:{site.directory}", "BUSY": str(busy)}
    site.cluster.faults["v2"] = {"environment": environment}
    with callers(site), site.started(2, "--canary", "25") as deployment:
        site.wait_for(v1=75, v2=25)
        busy.touch()
        result = ended(deployment)
    assert_rolled_back(site, result, "at 25% the canary is worse", "of the latency above")


def test_a_canary_without_requests_is_taken_back(site):
    site.cluster.faults.clear()
    result = site.deploy(2, "--canary", "10", "--max-step-seconds", "3")
    # but for the first question, which deploy asks itself
    assert_rolled_back(site, result, "at 10% the canary is not known", " after 3 s, the ")
    assert re.search(r"had [01] requests, fewer than 60$", result.stderr)


def test_a_killed_deployment_goes_on_and_a_good_canary_is_promoted(site):
    site.cluster.served.clear()
    with callers(site):
        with site.started(2, "--canary", "10", "--step-seconds", "60") as deployment:
            site.wait_for(v1=90, v2=10)
            process = site.cluster.processes["v2"]
            second = site.deploy(1)
            deployment.kill()
        assert second.returncode == 1
        assert re.search(r"error: \S+@\S+ is deploying; .* after [0-9:]+ UTC$", second.stderr)
        assert site.last()["outcome"] == "started"
        assert site.cluster.weights == {"v1": 90, "v2": 10}

        held = json.loads((site.directory / "lease.json").read_text())["spec"]
        time.sleep(max((lease._until(held) - datetime.now(UTC)).total_seconds(), 0))
        result = site.deploy(2, "--canary", "10")
    assert result.returncode == 0, result.stderr
    assert not (site.directory / "lease.json").exists()
    said = re.findall(r"step \d of \d: (.*?)(?:, watched.*)?$", result.stderr, re.MULTILINE)
    assert said == [
        *(f"version 1, and version 2 for {share}% of the requests" for share in (10, 25, 50)),
        "version 2 for all",
    ]
    assert site.cluster.processes == {"v2": process}  # nothing was started for the promotion
    assert {status for _, status in site.cluster.served} == {200}
    with registry.connected() as client:
        records = history.history(client, "sentiment")
        run = client.search_runs(
            [client.get_experiment_by_name("sentiment-deployments").experiment_id]
        )[0]
    assert [each["outcome"] for each in records].count("deployed") == 2
    assert (records[0]["outcome"], records[0]["from"], records[0]["to"]) == ("deployed", "1", "2")
    assert "errors of" in records[0]["why"]
    assert run.data.metrics["requests"] >= 60
    assert [run.data.tags[f"at_{share}"][:5] for share in (10, 25, 50)] == ["holds"] * 3
    assert run.info.status == "FINISHED"
    printed = subprocess.run(
        [sys.executable, "-m", "deploy", "--history"],
        env=os.environ | site.cluster.environment,
        capture_output=True,
        text=True,
    )
    assert len(printed.stdout.splitlines()) == len(records)
    assert "local deployed 1 -> 2: at 50%: " in printed.stdout.splitlines()[0]
