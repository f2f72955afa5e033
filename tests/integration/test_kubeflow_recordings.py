"""What a real Kubeflow server answered, through submit, the exporter and the receiver."""

import base64
import gzip
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from monitoring import exporter
from monitoring.services import DEFAULT, read_services
from pipelines import follow, ir, reasons, submit
from tests.conftest import REPO
from tests.integration.test_receiver import receiver
from tests.kubeflow import API, StandIn, recorded, recorded_run

IMAGE = f"registry.example.org/sentiment-train@sha256:{'0a' * 32}"
RECEIVER = REPO / "manifests/monitoring/receiver/receiver.yaml"
SERVICES = RECEIVER.parent / "services.yaml"
OURS = ("sentiment", "sentiment")  # namespace and service


@pytest.fixture
def server():
    with StandIn() as server:
        server.multi_user = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch, tmp_path):
    """Give kubectl no cluster, and the client no credentials of this machine."""
    for name in ("KFP_TOKEN", "KFP_COOKIE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.01)


def two_steps(path: Path) -> Path:
    """Write a pipeline with the tasks of the recorded small runs."""
    tasks = {
        name: {"taskInfo": {"name": name}, "componentRef": {"name": f"comp-{name}"}}
        for name in ("say", "fail")
    }
    document = {
        "pipelineInfo": {"name": "recorded"},
        "schemaVersion": "2.1.0",
        "root": {"dag": {"tasks": tasks}},
        "components": {f"comp-{name}": {"executorLabel": f"exec-{name}"} for name in tasks},
    }
    path.write_text(yaml.safe_dump(document))
    return path


def wait(server: StandIn, run: str, pipeline: str, capsys) -> tuple[int, list[str], str]:
    """Submit, replay a recorded run, and return exit code, task lines and the rest."""
    server.answers = recorded_run(run)
    arguments = ["--host", server.host, "--pipeline", pipeline, "--image", IMAGE, "--wait"]
    code = submit.main([*arguments, "--namespace", "sentiment"])
    lines = capsys.readouterr().err.splitlines()
    shown = [" ".join(line.removeprefix("submit: ").split()) for line in lines]
    ends = ("pending", "running", "succeeded", "failed")
    tasks = [line for line in shown if line.endswith(ends) and not line.startswith("the run")]
    return code, tasks, "\n".join(line for line in shown if line not in tasks)


def test_tasks_of_a_failed_run_are_shown_and_nothing_else(server, capsys, tmp_path):
    pipeline = str(two_steps(tmp_path / "recorded.yaml"))
    code, tasks, rest = wait(server, "failed", pipeline, capsys)
    assert code == 1
    assert tasks == ["say running", "say succeeded", "fail failed"]
    assert "error: the run failed in task fail: " in rest
    assert (
        "kubectl describe workflow --namespace sentiment --selector pipeline/runid=runs-1" in rest
    )
    assert "kubectl logs --namespace sentiment --selector pipeline/runid=runs-1" in rest


def test_a_terminated_run_was_canceled(server, capsys, tmp_path):
    pipeline = str(two_steps(tmp_path / "recorded.yaml"))
    code, tasks, rest = wait(server, "terminated", pipeline, capsys)
    assert code == 1
    assert tasks == []
    assert "error: the run was canceled: " in rest


@pytest.mark.parametrize("run", ["succeeded", "cached"])
def test_a_run_that_succeeds(server, capsys, tmp_path, run):
    pipeline = str(two_steps(tmp_path / "recorded.yaml"))
    code, tasks, rest = wait(server, run, pipeline, capsys)
    assert code == 0
    assert tasks[-1] == "say succeeded"
    assert "listed" not in rest


def test_an_incomplete_list_of_tasks_is_told(server, capsys):
    """The server's list of this run ends at 218 nodes; the tasks after gate are not in it."""
    code, tasks, rest = wait(server, "unlisted tasks", "training", capsys)
    assert code == 0
    names = ir.task_names(ir.load("training"))
    assert {task.rsplit(" ", 1)[0] for task in tasks} <= set(names.values())
    assert f"{names['gate']} succeeded" in tasks
    assert not any(task.startswith(names["promote"]) for task in tasks)
    assert "the server has not listed all tasks of this run; the cluster has them: kubectl" in rest


def test_a_run_that_ends_before_its_first_pod(server, capsys, tmp_path):
    pipeline = str(two_steps(tmp_path / "recorded.yaml"))
    code, tasks, rest = wait(server, "unlisted", pipeline, capsys)
    assert (code, tasks) == (1, [])
    assert "error: the run failed: " in rest


WAITS = (
    "a pod waits or was tried again, or the server has stopped listing tasks; the events show why:"
    " kubectl describe pods"
)


def with_states(run: dict[str, Any], **states: str) -> dict[str, Any]:
    """Return a recorded answer of a running run, with other states of some nodes."""
    nodes = [
        node | {"state": states[node["state"]]} if node.get("state") in states else node
        for node in run["run_details"]["task_details"]
    ]
    return run | {"state": "RUNNING", "run_details": {"task_details": nodes}}


@pytest.mark.parametrize(
    ("name", "states", "told"),
    [
        # Kubernetes forbids the pods of ingest, and Kubeflow tries them again without an end
        ("forbidden pods", {}, 1),
        ("forbidden pods", {"FAILED": "PENDING"}, 1),
        ("forbidden pods", {"FAILED": "RUNNING"}, 0),
    ],
)
def test_a_pod_that_waits_is_told_once(server, capsys, monkeypatch, name, states, told):
    monkeypatch.setattr(follow, "STALL_SECONDS", -1)
    server.answers = [with_states(recorded_run(name)[-1], **states)] * 3
    arguments = ["--host", server.host, "--pipeline", "training", "--image", IMAGE]
    assert submit.main([*arguments, "--namespace", "sentiment", "--wait"]) == 0
    assert capsys.readouterr().err.count(WAITS) == told


def workflow(nodes: dict[str, Any], compressed: bool) -> str:
    """Return what kubectl prints of a run's workflow, as Argo keeps small and large statuses."""
    status: dict[str, Any] = {"phase": "Failed", "nodes": nodes}
    if compressed:
        packed = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
        status = {"phase": "Failed", "compressedNodes": packed}
    return json.dumps({"items": [{"metadata": {"name": "training-x7k2p"}, "status": status}]})


def fake_kubectl(directory: Path, document: str, log: str) -> None:
    (directory / "workflow.json").write_text(document)
    (directory / "log").write_text(log)
    script = directory / "kubectl"
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {directory}/asked\n'
        f'case "$3" in get) cat {directory}/workflow.json;; logs) cat {directory}/log;; esac\n'
    )
    script.chmod(0o755)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "validate: 3000 reviews\nvalidate: error: at least 5000 reviews wanted\nF main.go\n",
            "validate: error: at least 5000 reviews wanted",
        ),
        (
            "validate: breach: 3000 rows, at least 5000 wanted\nvalidate: 1 breaches\n",
            "validate: breach: 3000 rows, at least 5000 wanted",
        ),
        ("", "pods is forbidden: violates PodSecurity"),
    ],
)
def test_the_reason_is_found_with_kubectl(monkeypatch, tmp_path, log, reason, compressed):
    pod = {"type": "Pod", "templateName": "retry-system-container-impl"}
    nodes = {
        "training-x7k2p-1": pod | {"id": "training-x7k2p-1", "phase": "Succeeded"},
        "training-x7k2p-22": pod
        | {
            "id": "training-x7k2p-22",
            "phase": "Failed",
            "message": "pods is forbidden: violates PodSecurity",
        },
        "training-x7k2p": {"type": "DAG", "id": "training-x7k2p", "phase": "Failed"},
    }
    fake_kubectl(tmp_path, workflow(nodes, compressed), log)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert reasons.find("run-1", "sentiment") == reason
    asked = (tmp_path / "asked").read_text()
    assert (
        "--namespace sentiment get workflows.argoproj.io --selector pipeline/runid=run-1" in asked
    )
    assert "logs training-x7k2p-retry-system-container-impl-22 --container main" in asked


def test_a_pod_whose_retry_succeeded_is_not_the_reason(monkeypatch, tmp_path):
    pod = {"type": "Pod", "templateName": "impl"}
    nodes = {
        "w-1": {"type": "Retry", "id": "w-1", "phase": "Succeeded", "children": ["w-2", "w-3"]},
        "w-2": pod | {"id": "w-2", "phase": "Error", "message": "pod deleted"},
        "w-3": pod | {"id": "w-3", "phase": "Succeeded"},
        "w-4": {"type": "Retry", "id": "w-4", "phase": "Failed", "children": ["w-5"]},
        "w-5": pod | {"id": "w-5", "phase": "Failed", "message": "exit code 1"},
    }
    fake_kubectl(tmp_path, workflow(nodes, False), "")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert reasons.find("run-1", "sentiment") == "exit code 1"


def test_a_failed_run_tells_the_reason_that_kubectl_finds(server, capsys, monkeypatch, tmp_path):
    failed = {"type": "Pod", "templateName": "t", "id": "x-2", "phase": "Error", "message": "lost"}
    fake_kubectl(tmp_path, workflow({"x-2": failed}, False), "")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    pipeline = str(two_steps(tmp_path / "recorded.yaml"))
    _, _, rest = wait(server, "failed", pipeline, capsys)
    assert f"the run failed in task fail (lost): {server.host}/#/runs/details/runs-1" in rest


def test_the_exporter_reads_the_recorded_lists(server):
    health, pipelines, runs = (each["answer"] for each in recorded("lists"))
    assert health["multi_user"]
    server.stored["pipelines"] = pipelines["pipelines"]
    server.stored["runs"] = runs["runs"]
    families = list(exporter.read_runs(server.host, "sentiment", None, DEFAULT))
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }
    counts = {key[1:]: value for key, value in values.items() if key[0] == "pipeline_runs"}
    assert counts == {
        (*OURS, "monitoring", "canceled"): 1,
        (*OURS, "training", "running"): 1,
        (*OURS, "training", "canceled"): 1,
    }
    assert ("pipeline_run_timestamp_seconds", *OURS, "training", "running") not in values
    assert values["pipeline_run_duration_seconds", *OURS, "monitoring"] == 30
    del server.stored["runs"][1]["state"]
    families = list(exporter.read_runs(server.host, "sentiment", None, DEFAULT))
    assert "pending" in str(families)


def receiver_documents() -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in yaml.safe_load_all(RECEIVER.read_text())}


def receiver_rights() -> set[tuple[str, str]]:
    """Return the rights of the receiver's Role, each as resource and verb."""
    rules = receiver_documents()["Role"]["rules"]
    assert {group for rule in rules for group in rule["apiGroups"]} == {"pipelines.kubeflow.org"}
    return {(name, verb) for r in rules for name in r["resources"] for verb in r["verbs"]}


def monitoring_run(server: StandIn) -> list[str]:
    arguments = ["--host", server.host, "--namespace", "sentiment", "--image", IMAGE]
    arguments += ["--pipeline", "monitoring", "--param", "captured=s3://data/captured/"]
    return [*arguments, "--service-account", "sentiment-pipeline", "--wait"]


def test_the_receivers_rights_are_enough_to_start_and_follow_a_run(server):
    server.rights = receiver_rights()
    assert submit.main(monitoring_run(server)) == 0


@pytest.mark.parametrize("right", sorted(receiver_rights()))
def test_the_receiver_needs_each_of_its_rights(server, capsys, right):
    server.rights = receiver_rights() - {right}
    assert submit.main(monitoring_run(server)) == 1
    resource, verb = right
    error = capsys.readouterr().err
    assert "403, " in error
    assert f"Verb:{verb},Group:pipelines.kubeflow.org" in error
    assert f"Resource:{resource}," in error


def test_an_alert_starts_the_monitoring_pipeline(server, tmp_path):
    """The receiver starts the command of its manifest, under the rights of its manifest."""
    documents = receiver_documents()
    (container,) = documents["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert "TRAIN_IMAGE" in documents["ConfigMap"]["data"]
    (service,) = read_services(SERVICES)
    (captured,) = [
        each.partition("captured=")[2] for each in service.retrain if "captured=" in each
    ]
    (tmp_path / "kubeflow-token").write_text("a-token")
    command = [
        word.replace("http://ml-pipeline.kubeflow.svc:8888", server.host)
        .replace("/var/run/secrets/kubeflow/token", str(tmp_path / "kubeflow-token"))
        .replace("$(TRAIN_IMAGE)", IMAGE)
        for word in container["args"][container["args"].index("--") + 1 :]
    ]
    server.rights = receiver_rights()
    server.token = "a-token"
    with receiver(tmp_path, command, "--services", str(SERVICES)) as started:
        assert started.notify("drift") == "started"
        deadline = time.monotonic() + 120
        while not server.stored["runs"]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    (run,) = server.stored["runs"]
    assert run["service_account"] == "sentiment-pipeline"
    assert run["runtime_config"]["parameters"]["captured"] == captured


def ask(server: StandIn, line: dict[str, Any]) -> requests.Response:
    """Bring the stand-in into the state of a recorded error, and send the request again."""
    method, path = line["request"].split(" ")
    server.multi_user = False
    server.stored["pipelines"] = [{"pipeline_id": "p", "display_name": "recorded"}]
    server.stored["experiments"] = [{"experiment_id": "e", "display_name": "recorded"}]
    server.stored["versions"] = [
        {"pipeline_id": "p", "pipeline_version_id": "v", "display_name": "recorded"}
    ]
    message = line["answer"].get("message") or line["answer"]["error_message"]
    if line["status"] == 401:
        server.token = "right"
    if line["status"] == 403:
        server.rights = set()
    url = server.host + API + path
    if path.endswith("/upload_version"):
        pipeline = "none" if line["content_type"].startswith("text/plain") else "p"
        text = {"pipelineInfo": {}, "schemaVersion": "2.1.0"}
        if message == "unknown template format":
            text = {"unknown": 1}
        if message.startswith("KFP only"):
            text = {"pipelineInfo": {}}
        files = {"uploadfile": ("pipeline.yaml", yaml.safe_dump(text))}
        return requests.post(f"{url}?name=recorded&pipelineid={pipeline}", files=files, timeout=10)
    body = {"display_name": "recorded"}
    if path == "/runs":
        body["pipeline_version_reference"] = {"pipeline_version_id": "none"}
    return requests.request(method, url, json=body, timeout=10)


@pytest.mark.parametrize(
    "line",
    [
        each
        for each in recorded("errors")
        if "parameter" not in str(each["answer"].get("message"))
        and not each["request"].startswith("GET /experiments/")  # none of our commands asks for it
    ],
    ids=lambda line: f"{line['request']} {line['status']}",
)
def test_the_stand_in_refuses_as_recorded(server, line):
    response = ask(server, line)
    assert response.status_code == line["status"]
    found, wanted = response.json(), line["answer"]
    assert found.keys() == wanted.keys()
    assert found.get("code") == wanted.get("code")
    if line["status"] == 403 and line["request"] == "GET /pipelines":
        assert found == wanted
    if "error_message" in wanted:
        assert found["error_message"] == wanted["error_message"]


def test_healthz_has_the_recorded_fields(server):
    health = requests.get(f"{server.host}{API}/healthz", timeout=10).json()
    assert health.keys() == recorded("lists")[0]["answer"].keys()


def test_an_upload_error_is_shown(server, capsys, tmp_path):
    path = tmp_path / "old.yaml"
    path.write_text(yaml.safe_dump({"pipelineInfo": {"name": "old"}, "root": {"dag": {}}}))
    arguments = ["--host", server.host, "--namespace", "sentiment", "--pipeline", str(path)]
    assert submit.main(arguments) == 1
    expected = "400, KFP only supports schema version 2.1.0, but the pipeline spec has version"
    assert expected in capsys.readouterr().err
