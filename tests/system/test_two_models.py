"""Two models in one cluster: each is deployed, canaried and rolled back apart from the other.

Kubectl and the predictors are as in test_deploy_to_a_stand_in_cluster.
"""

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from components import register
from components.io import reviews
from components.io.files import read_json
from deploy.__main__ import EXIT_CODES
from deploy.overlay import Service
from deploy.rollout import RolloutOutcome
from tests.cluster import (
    StandInCluster,
    base_service,
    overlay_in,
    repeated,
    stand_in_cluster,
)
from tests.serving import wait_until

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl: make packages")


class Model:
    """An overlay of a model, and what the stand-in runs for it."""

    def __init__(self, cluster: StandInCluster) -> None:
        self.cluster = cluster
        self.name = cluster.service.name
        self.overlay = overlay_in(cluster.directory / self.name, "local", cluster.service)

    def start(self, version: int) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "deploy", "--name", self.name, "--version", str(version)]
        command += ["--overlay", str(self.overlay), "--settle-seconds", "1"]
        return subprocess.Popen(
            command,
            cwd=self.cluster.directory,
            env=os.environ | self.cluster.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def objects(self) -> set[str]:
        return {
            path.stem
            for path in self.cluster.objects.glob(f"*-{self.name}*.json")
            if not path.stem.startswith("deployment")  # the autoscaler changes them
        }


def deploy(*wanted: tuple[Model, int, RolloutOutcome]) -> list[str]:
    """Deploy versions of models at the same time; return what each said."""
    with ExitStack() as stack:
        started = [stack.enter_context(model.start(version)) for model, version, _ in wanted]
        said = [process.communicate(timeout=400)[1] for process in started]
    for process, (_, _, outcome), text in zip(started, wanted, said, strict=True):
        assert process.returncode == EXIT_CODES[outcome], text
    return said


@pytest.fixture(params=["sentiment", "airlines"])
def models(request, tmp_path: Path, monkeypatch, trained, trained_worse):
    """The models sentiment and airline, in one namespace and in two; version 1 is served."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry.db")
    monkeypatch.chdir(tmp_path)
    second = Service("airline", request.param, "airline", "airline")
    for name in ("sentiment", "airline"):
        for each in (trained, trained_worse):
            digest = reviews.digest(reviews.labelled(each.test))
            metrics, findings = read_json(each.metrics), read_json(each.findings)
            register.register(each.model, metrics, findings, each.plots, digest, name)
    with ExitStack() as stack:
        clusters = [
            stack.enter_context(stand_in_cluster(tmp_path, service))
            for service in (base_service(), second)
        ]
        both = [Model(cluster) for cluster in clusters]
        deploy(*((model, 1, RolloutOutcome.DEPLOYED) for model in both))
        for model in both:
            session = stack.enter_context(requests.Session())
            call = model.cluster.call
            stack.enter_context(repeated(lambda call=call, own=session: call(own), 0.05))
        yield both


def test_each_model_is_deployed_apart(models):
    first, second = models
    (stable,) = first.cluster.processes
    process = first.cluster.processes[stable]
    objects = first.objects()

    deploy((second, 2, RolloutOutcome.DEPLOYED))
    # a predictor may stay in the route at 0% for a moment
    wait_until(lambda: second.cluster.weights == {"v2": 100})
    assert first.cluster.processes == {stable: process}
    assert first.objects() == objects

    first.cluster.faults["v2"] = {"environment": {"MODEL_VERSION": "9"}}
    said, _ = deploy((first, 2, RolloutOutcome.ROLLED_BACK), (second, 1, RolloutOutcome.DEPLOYED))
    assert "as version 9" in said
    wait_until(lambda: first.cluster.weights == second.cluster.weights == {"v1": 100})
    assert first.cluster.processes == {stable: process}
    assert first.objects() == objects
    for model in models:
        assert {status for _, status in model.cluster.served} == {200}
        left = {each for each in model.objects() if each.startswith(("lease", "horizontal"))}
        (name,) = model.cluster.processes
        assert left == {f"horizontalpodautoscaler-{model.name}-{name}-predictor"}
