"""cluster_test trains and retrains on a stand-in for Kubeflow; receiver, MLflow and S3 are real."""

import base64
import itertools
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from components import monitor
from components.io import registry
from components.io.registry import Decision
from components.reading.options import Options
from components.reading.sources import fetch
from deploy.overlay import Service
from pipelines.local import s3_client, s3_server
from tests.conftest import REPO
from tests.integration.test_receiver import TOKEN, receiver
from tests.kubeflow import StandIn, recorded_run
from tools.cluster.kube import Kube
from tools.cluster_test import __main__ as cluster_test
from tools.cluster_test import kubeflow, runs, samples
from tools.cluster_test import receiver as found
from tools.cluster_test.evidence import Evidence
from tools.cluster_test.runs import PipelineRun

IMAGE = f"registry.example.org/sentiment-train@sha256:{'0a' * 32}"
KUBE = Kube("test", pauses=())
SERVICE = Service("sentiment", "sentiment", "sentiment", "sentiment")
MANIFESTS = REPO / "manifests/monitoring/receiver"
RENDERED = f"""\
kind: InferenceService
metadata: {{name: sentiment, namespace: sentiment}}
spec: {{predictor: {{containers: [{{name: kserve-container}}]}}}}
---
kind: Deployment
spec:
  image: {IMAGE}
"""
REASON = "the new one is not worse"
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with s3_server(tmp_path_factory.mktemp("s3")) as environment:
        yield environment


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


class Cluster:
    """The objects of a cluster with Kubeflow in a folder, read by the stand-in for kubectl."""

    def __init__(self, folder: Path, server: StandIn) -> None:
        self.folder, self.server = folder, server
        self.ports = {"ml-pipeline": server.server_port}
        self.write("kubeflow", "service", "ml-pipeline", {})
        root = {"defaultPipelineRoot": "s3://pipelines/artifacts"}
        self.write("sentiment", "configmap", "kfp-launcher", {"data": root})
        (folder / "rendered").write_text(RENDERED)
        (folder / "ports.json").write_text(json.dumps(self.ports))
        (folder / "workflows").write_text('{"items": []}')
        (folder / "logs").write_text("")

    def write(self, namespace: str, kind: str, name: str, document: dict[str, Any]) -> None:
        (self.folder / f"{namespace}.{kind}.{name}").write_text(json.dumps(document))

    def add_receiver(self, address: str, token: str = TOKEN) -> None:
        """Add the objects of manifests/monitoring/receiver, with a bucket of this test."""
        self.ports["sentiment-receiver"] = int(address.rpartition(":")[2])
        (self.folder / "ports.json").write_text(json.dumps(self.ports))
        documents = yaml.safe_load_all((MANIFESTS / "receiver.yaml").read_text())
        (deployment,) = [each for each in documents if each["kind"] == "Deployment"]
        self.write("sentiment", "deployment", "sentiment-receiver", deployment)
        services = {"services.yaml": services_yaml()}
        self.write("sentiment", "configmap", "sentiment-services", {"data": services})
        data = {"token": base64.b64encode(token.encode()).decode()}
        self.write("sentiment", "secret", "alertmanager", {"data": data})

    def prove(self) -> Evidence:
        evidence = Evidence(self.folder, 60, {})
        cluster_test.prove_pipelines(evidence, KUBE, SERVICE, self.folder)
        return evidence

    def retrain(self) -> PipelineRun:
        """Do the second half of ``prove`` alone."""
        with kubeflow.signed_in(KUBE, SERVICE.namespace) as signed_in:
            watched = found.find(KUBE, SERVICE.namespace, SERVICE.name)
            return runs.retrain(KUBE, signed_in, watched)


def services_yaml() -> str:
    text = (MANIFESTS / "services.yaml").read_text()
    return text.replace("sentiment-data-example", "data")


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as server:
        server.multi_user = True
        server.token = "a-token"
        server.on_run = register_and_judge
        last = recorded_run("unlisted tasks")[-1]
        server.states = [("SUCCEEDED", last["run_details"]["task_details"])]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def register_and_judge(run: dict[str, Any], outcome: str = "promoted") -> None:
    """Leave in MLflow what the tasks of a run leave there."""
    name = run["runtime_config"]["parameters"]["name"]
    with registry.connected() as client:
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        made = client.create_model_version(name, f"s3://models/{next(NUMBERS)}")
        registry.decide(client, name, Decision(outcome, "none", str(made.version), REASON))


@pytest.fixture
def cluster(
    server: StandIn, database: str, s3: dict[str, str], tmp_path: Path, monkeypatch: Any
) -> Cluster:
    script = tmp_path / "bin/kubectl"
    script.parent.mkdir()
    command = f"{sys.executable} -I -S {REPO}/tests/forwarding_kubectl.py"
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o755)
    environment = s3 | {"STAND_IN": str(tmp_path), "MLFLOW_TRACKING_URI": database}
    environment |= {"PATH": f"{script.parent}:{os.environ['PATH']}", "PYTHONPATH": str(REPO)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in ("KFP_TOKEN", "KFP_COOKIE"):
        monkeypatch.delenv(name, raising=False)
    with registry.connected(create=True):
        pass
    monkeypatch.setattr(samples, "training_reviews", lambda: b"reviews")
    monkeypatch.setattr(samples, "drifted", lambda: (b"requests", b"reviews"))
    return Cluster(tmp_path, server)


def started_receiver(folder: Path, server: StandIn, command: list[str] | str | None = None):
    """Run a receiver with the command of its manifest, or another one."""
    (folder / "services.yaml").write_text(services_yaml())
    (folder / "kubeflow-token").write_text("a-token")
    documents = yaml.safe_load_all((MANIFESTS / "receiver.yaml").read_text())
    (deployment,) = [each for each in documents if each["kind"] == "Deployment"]
    words = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    submit = [
        word.replace("http://ml-pipeline.kubeflow.svc:8888", server.host)
        .replace("/var/run/secrets/kubeflow/token", str(folder / "kubeflow-token"))
        .replace("$(TRAIN_IMAGE)", IMAGE)
        for word in words[words.index("--") + 1 :]
    ]
    return receiver(folder, command or submit, "--services", str(folder / "services.yaml"))


def objects(s3: dict[str, str], bucket: str) -> list[str]:
    found = s3_client(s3).list_objects_v2(Bucket=bucket).get("Contents", [])
    return [each["Key"] for each in found]


def test_a_training_is_submitted_and_judged(cluster, server, s3):
    evidence = cluster.prove()
    (run,) = evidence.runs
    assert (run.name, run.passed, run.verdict, run.why) == (runs.TRAINING, True, "promoted", REASON)
    assert (run.model, evidence.failures) == ("sentiment-cluster-test", [])
    assert int(run.version) > 0
    assert run.tasks["judge the challenger"] == "succeeded"
    (submitted,) = server.stored["runs"]
    parameters = submitted["runtime_config"]["parameters"]
    assert parameters["source"] == "s3://pipelines/artifacts/cluster-test/reviews.parquet"
    assert submitted["service_account"] == "sentiment-pipeline"
    (version,) = server.stored["versions"]
    assert IMAGE in json.dumps(version)
    assert objects(s3, "pipelines") == []
    # the account was there for the test alone
    account = ["ServiceAccount/cluster-test", "RoleBinding/cluster-test"]
    assert (cluster.folder / "apply").read_text().split() == account
    assert (cluster.folder / "delete").read_text().split() == account
    assert "no Deployment sentiment-receiver" in evidence.skipped[runs.RETRAINING]
    page = evidence.page.read_text()
    assert f"| {runs.TRAINING} | True |" in page
    assert f"| promoted | {REASON} |" in page
    assert f"| {runs.RETRAINING} | no Deployment" in page


def test_a_failed_training_names_step_and_reason(cluster, server, monkeypatch, capsys):
    node = {"display_name": "validate", "task_id": "1", "state": "FAILED"}
    server.states = [("FAILED", [node])]
    pod = {"type": "Pod", "templateName": "t", "id": "x-2", "phase": "Failed", "message": "exit 1"}
    workflow = {"metadata": {"name": "x"}, "status": {"nodes": {"x-2": pod}}}
    (cluster.folder / "workflows").write_text(json.dumps({"items": [workflow]}))
    (cluster.folder / "logs").write_text("validate: breach: 3000 rows, at least 5000 wanted\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(cluster.folder / "summary.md"))
    flags = ["--overlay=.", "--context=test", f"--directory={cluster.folder}", "--only=pipelines"]
    assert cluster_test.main(flags) == 1
    assert f"cluster-test: error: failed: {runs.TRAINING}; see" in capsys.readouterr().err
    found = json.loads((cluster.folder / "cluster-test.json").read_text())
    (run,) = found["runs"]
    assert run["why"].startswith("the run failed in task validate reviews (validate: breach: 3000")
    assert run["tasks"] == {"validate reviews": "failed"}
    assert found["skipped"]["deployments"] == "--only pipelines"
    assert "0 succeeded, validate reviews failed" in (cluster.folder / "summary.md").read_text()


def test_a_training_must_leave_a_version_and_a_verdict(cluster, server):
    server.on_run = lambda run: None
    (run,) = cluster.prove().runs
    assert (run.passed, run.why) == (
        False,
        "the run registered no version of sentiment-cluster-test",
    )


def test_a_refusal_of_the_gate_is_a_verdict(cluster, server):
    server.on_run = lambda run: register_and_judge(run, "refused")
    (run,) = cluster.prove().runs
    assert (run.passed, run.verdict) == (True, "refused")


def test_without_kubeflow_both_are_skipped(cluster, server):
    (cluster.folder / "kubeflow.service.ml-pipeline").unlink()
    evidence = cluster.prove()
    assert evidence.runs == []
    for name in (runs.TRAINING, runs.RETRAINING):
        assert evidence.skipped[name].startswith("no Service ml-pipeline in the namespace kubeflow")
    assert server.requests == 0


def test_a_server_for_one_user_fails_with_the_way_out(cluster, server):
    server.multi_user = False
    evidence = cluster.prove()
    assert evidence.failures == ["the pipelines on Kubeflow"]
    assert "serves one user" in evidence.runs[0].why


def test_drift_starts_a_run_that_is_followed_to_its_verdict(cluster, server, s3, tmp_path):
    uploads = []

    def judge(run: dict[str, Any]) -> None:
        uploads.append(objects(s3, "data") if "captured" in str(run) else [])
        register_and_judge(run)

    server.on_run = judge
    with started_receiver(tmp_path, server) as running:
        cluster.add_receiver(running.address)
        evidence = cluster.prove()
        with pytest.raises(found.SkippedError, match="it starts one run a day"):
            cluster.retrain()
    assert evidence.failures == []
    assert evidence.skipped == {}
    run = evidence.runs[1]
    assert run.name == runs.RETRAINING
    assert (run.passed, run.verdict, run.why) == (True, "promoted", REASON)
    assert run.model == "sentiment"
    assert run.tasks["judge the challenger"] == "succeeded"
    # what was there for each of the two runs
    assert uploads == [[], ["captured/sentiment/cluster-test.jsonl", "reviews.parquet"]]
    assert objects(s3, "data") == []


def test_a_run_after_drift_that_fails_is_named(cluster, server, s3, tmp_path):
    client = s3_client(s3)
    client.put_object(Bucket="data", Key="reviews.parquet", Body=b"theirs")
    server.states = [("FAILED", [{"display_name": "gate", "task_id": "1", "state": "FAILED"}])]
    with started_receiver(tmp_path, server) as running:
        cluster.add_receiver(running.address)
        run = cluster.retrain()
    assert not run.passed
    assert run.why.startswith("the run failed in task judge the challenger")
    # reviews of others are left alone
    assert client.get_object(Bucket="data", Key="reviews.parquet")["Body"].read() == b"theirs"
    client.delete_object(Bucket="data", Key="reviews.parquet")


def test_a_receiver_that_refuses_the_alert(cluster, server, tmp_path):
    with started_receiver(tmp_path, server) as running:
        cluster.add_receiver(running.address, token="another token")
        run = cluster.retrain()
    assert not run.passed
    assert run.why == "the receiver answers 401: the bearer token is missing or wrong"


def test_a_receiver_that_starts_no_run_in_time(cluster, server, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "START_SECONDS", 1)
    error = "submit: error: --host http://ml-pipeline.kubeflow.svc:8888: no response (timed out)"
    (cluster.folder / "logs").write_text(f"receiver: listening\n{error}\nreceiver: failed\n")
    with started_receiver(tmp_path, server, "exit 4") as running:
        cluster.add_receiver(running.address)
        run = cluster.retrain()
    assert (run.passed, run.tasks) == (False, {})
    assert run.why == f"no run in 1 s after the alert: {error}"


def test_a_receiver_of_another_service_is_told(cluster):
    cluster.add_receiver("http://127.0.0.1:1")
    text = services_yaml().replace("service: sentiment", "service: airline")
    config = {"data": {"services.yaml": text}}
    cluster.write("sentiment", "configmap", "sentiment-services", config)
    with pytest.raises(found.SkippedError, match="no captured=s3://…/ for sentiment/sentiment"):
        cluster.retrain()


def test_the_samples_are_read_by_the_stages(s3, monkeypatch, tmp_path):
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    requests, reviews = samples.drifted()
    with (
        samples.uploaded("s3://samples/captured/cluster-test.jsonl", requests),
        samples.uploaded("s3://samples/reviews.parquet", reviews),
    ):
        assert samples.is_there("s3://samples/captured/")
        texts = monitor.read_texts("s3://samples/captured/", "data.text", "auto")
        (found,) = fetch(Options("s3://samples/reviews.parquet"), tmp_path)
        shutil.copy(found.path, tmp_path / "reviews.parquet")
    assert len(texts) == len(set(texts)) == samples.REQUESTS
    table = pd.read_parquet(tmp_path / "reviews.parquet")
    assert len(table) == samples.REVIEWS + samples.LABELLED
    assert not set(texts) & set(table["text"])
    assert not samples.is_there("s3://samples/captured/")
