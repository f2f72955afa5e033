"""Whole rollouts with real predictors, one of them faulty, and a real Prometheus.

tests/cluster.py stands in for the cluster.
"""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import yaml

from components.errors import UnavailableError, UserError
from components.io import registry
from deploy import history
from deploy.__main__ import EXIT_CODES
from deploy.history import Deployment
from deploy.rollout import RolloutOutcome
from tests.cluster import prometheus, set_image, version_of
from tests.conftest import REPO
from tests.site import Site, clients, ended, site_in

UNREACHABLE = "The connection to the server 10.0.0.1:6443 was refused - did you specify the right"
MISSING = [name for name in ("kubectl", "prometheus") if not shutil.which(name)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}: make packages")


@pytest.fixture(scope="module")
def site(tmp_path_factory, trained, trained_worse):
    with site_in(tmp_path_factory.mktemp("site"), trained, trained_worse) as site:
        result = site.deploy(1)
        assert result.returncode == 0, result.stderr
        yield site


def test_first_version_and_again_the_same(site):
    site.wait_for(v1=100)
    assert_recorded(site, "none", "v1", "deployed")
    before = (site.overlay / "model.yaml").stat()
    process = site.cluster.process("v1")
    result = site.deploy(1)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert (site.overlay / "model.yaml").stat() == before
    assert list(site.cluster.processes.values()) == [process]
    assert len(site.history()) == 1


def assert_recorded(site: Site, before: str, after: str, outcome: str) -> Deployment:
    last = site.history()[0]
    assert [version_of(name) for name in (last.before, last.after)] == [before, after]
    assert last.outcome == outcome
    return last


def assert_back(
    site: Site,
    result: subprocess.CompletedProcess[str],
    *words: str,
    outcome: RolloutOutcome = RolloutOutcome.ROLLED_BACK,
) -> None:
    """Assert that version 1 is served alone again, and that the record and the output say why."""
    assert result.returncode == EXIT_CODES[outcome], result.stderr
    site.wait_for(v1=100)
    assert "canary" not in (site.overlay / "model.yaml").read_text()
    last = assert_recorded(site, "v1", "v2", outcome.value)
    for word in words:
        assert word in last.reason
    said = outcome.value.replace("_", " ")
    assert (
        result.stderr.splitlines()[-1] == f"deploy: {said}, version 2, {last.after}: {last.reason}"
    )


@contextmanager
def failing_canary(site: Site) -> Iterator["subprocess.Popen[str]"]:
    """Yield a deployment whose canary has 10% of the requests and answers none of them."""
    site.cluster.faults["v2"] = {"module": "tests.held_serving"}
    with clients(site), site.started(2, "--canary", "10") as deployment:
        site.wait_for(v1=90, v2=10)
        site.cluster.process("v2").send_signal(signal.SIGUSR1)
        yield deployment


def test_canary_with_errors_is_rolled_back(site):
    with failing_canary(site) as deployment:
        result = ended(deployment)
    assert_back(site, result, "at 10% the canary is worse", "errors of")


def test_a_locked_registry_keeps_no_bad_canary(site):
    with failing_canary(site) as deployment, sqlite3.connect("registry.db") as locked:
        locked.execute("BEGIN EXCLUSIVE")
        result = ended(deployment)
        locked.rollback()
    assert result.returncode == EXIT_CODES[RolloutOutcome.ROLLED_BACK], result.stderr
    for what in ("the verdict at 10%", "the end of this deployment"):
        assert re.search(f"record of deployments lacks {what}: .*locked", result.stderr)
    site.wait_for(v1=100)


def test_an_interrupted_way_back_is_ended(site):
    """A canary that was found worse is not given a second trial."""
    with failing_canary(site) as deployment:
        site.cluster.fail(apply=UNREACHABLE)
        result = ended(deployment)
        site.cluster.fail()
        assert result.returncode == UnavailableError.exit_code, result.stderr
        assert site.cluster.weights == {"v1": 90, "v2": 10}
        assert_recorded(site, "v1", "v2", "started")
    site.cluster.faults.clear()
    result = site.deploy(2, "--canary", "10")
    assert_back(site, result, "at 10% the canary is worse", "errors of")


# once the file BUSY exists, threads beside the server keep the interpreter busy
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


def test_slow_canary_is_rolled_back(site):
    (site.directory / "sitecustomize.py").write_text(BUSY)
    busy = site.directory / "busy"
    environment = {"PYTHONPATH": f"{REPO}:{site.directory}", "BUSY": str(busy)}
    site.cluster.faults["v2"] = {"environment": environment}
    with clients(site), site.started(2, "--canary", "25") as deployment:
        site.wait_for(v1=75, v2=25)
        busy.touch()
        result = ended(deployment)
    assert_back(site, result, "at 25% the canary is worse", "of the latency above")


def test_canary_without_traffic_is_undecided(site):
    site.cluster.faults.clear()
    result = site.deploy(2, "--canary", "10", "--max-step-seconds", "3")
    words = ("at 10% the canary is undecided", " after 3 s, the ")
    assert_back(site, result, *words, outcome=RolloutOutcome.UNDECIDED)
    # deploy itself sends one request
    assert re.search(r"had [01] requests, fewer than 60$", result.stderr)


@pytest.mark.parametrize(
    ("faults", "code", "words"),
    [
        (
            {"port_forward": 'error: error upgrading connection: pods "v2" is forbidden'},
            UserError.exit_code,
            "is forbidden",
        ),
        ({"port_forward": "error: lost connection to pod"}, UnavailableError.exit_code, "lost"),
        ({"get": UNREACHABLE}, UnavailableError.exit_code, "was refused"),
        ({"apply": UNREACHABLE}, UnavailableError.exit_code, "was refused"),
    ],
)
def test_faults_of_the_way_roll_nothing_back(site, faults, code, words):
    """A good version stays where it is, and its record open, until the next start."""
    site.cluster.faults.clear()
    site.cluster.fail(**faults)
    try:
        result = site.deploy(2, "--canary", "10")
    finally:
        site.cluster.fail()
    assert result.returncode == code, result.stderr
    assert words in result.stderr.splitlines()[-1]
    assert "going back" not in result.stderr
    assert_recorded(site, "v1", "v2", "started")
    if "port_forward" in faults:
        site.wait_for(v1=100, v2=0)


def test_dead_prometheus_rolls_nothing_back(site):
    folder = site.directory / "second-prometheus"
    folder.mkdir()
    (targets,) = site.directory.glob("*.targets.json")
    (folder / targets.name).symlink_to(targets)
    with clients(site), ExitStack() as running:
        address = running.enter_context(prometheus(folder))
        with site.started(2, "--canary", "10", "--prometheus", address) as deployment:
            site.wait_for(v1=90, v2=10)
            running.close()
            result = ended(deployment)
    assert result.returncode == UnavailableError.exit_code, result.stderr
    assert f"Prometheus at {address}" in result.stderr.splitlines()[-1]
    assert site.cluster.weights == {"v1": 90, "v2": 10}
    assert_recorded(site, "v1", "v2", "started")
    # a deployment of another version supersedes the open one
    assert site.deploy(1).returncode == 0
    site.wait_for(v1=100)
    assert site.history()[1].outcome == "superseded"


def test_killed_deployment_goes_on(site):
    site.cluster.served.clear()
    before = len(site.history())
    with clients(site):
        with site.started(2, "--canary", "10", "--step-seconds", "60") as deployment:
            site.wait_for(v1=90, v2=10)
            process = site.cluster.process("v2")
            second = site.deploy(1)
            deployment.kill()
        assert second.returncode == 1
        assert re.search(r"error: \S+@\S+ is deploying; run this again when", second.stderr)
        assert site.history()[0].outcome == "started"
        assert site.cluster.weights == {"v1": 90, "v2": 10}

        result = site.deploy(2, "--canary", "10")
    assert result.returncode == 0, result.stderr
    assert not site.lease.exists()
    text = re.sub(r"(v\d)-[0-9a-f]{8}", r"\1", result.stderr)
    steps = re.findall(r"step \d of \d: (.*?)(?:, watched.*)?$", text, re.MULTILINE)
    assert steps == [
        *(f"v1, and v2 for {share}% of the requests" for share in (10, 25, 50, 100)),
        "v2 for all",
    ]
    assert list(site.cluster.processes.values()) == [process]  # promotion restarts nothing
    assert {status for _, status in site.cluster.served} == {200}
    with registry.connected() as client:
        records = history.deployments(client, "sentiment")
        run = client.search_runs(
            [client.get_experiment_by_name("sentiment-deployments").experiment_id]
        )[0]
    assert len(records) == before + 1
    assert "errors of" in assert_recorded(site, "v1", "v2", "deployed").reason
    assert run.data.metrics["requests"] >= 60
    assert [run.data.tags[f"at_{share}"][:6] for share in (10, 25, 50)] == ["passes"] * 3
    assert run.info.status == "FINISHED"
    printed = subprocess.run(
        [sys.executable, "-m", "deploy", "--history"],
        env=os.environ | site.cluster.environment,
        capture_output=True,
        text=True,
    )
    assert len(printed.stdout.splitlines()) == len(records)
    assert " -> v2-" in printed.stdout.splitlines()[0]


def test_a_new_image_is_canaried(site):
    """The version stays; the stable predictor keeps its image until the promotion."""
    (old,) = site.cluster.processes
    set_image(site.overlay, "2")
    with clients(site), site.started(2, "--canary", "25") as deployment:
        site.wait_routed(lambda routed: routed.get(old) == 75)
        images = {
            name: each["containers"][0]["image"][-1]
            for name, each in site.cluster.predictors.items()
        }
        new = next(name for name in images if name != old)
        assert images == {old: "1", new: "2"}
        result = ended(deployment)
    assert result.returncode == 0, result.stderr
    assert list(site.cluster.processes) == [new]
    assert site.history()[0].before == old


def test_a_bad_image_reaches_no_request(site):
    (old,) = site.cluster.processes
    process = site.cluster.processes[old]
    site.cluster.faults["3"] = {"environment": {"MODEL_VERSION": "9"}}
    set_image(site.overlay, "3")
    site.cluster.served.clear()
    with clients(site):
        result = site.deploy(2, "--canary", "10")
    assert result.returncode == EXIT_CODES[RolloutOutcome.ROLLED_BACK], result.stderr
    assert "answered the first request with status 200, as version 9" in result.stderr
    assert f"{old} answers as version 2" in result.stderr.splitlines()[-2]
    assert site.cluster.processes == {old: process}
    assert {status for _, status in site.cluster.served} == {200}


def old_layout(site: Site, digit: str) -> None:
    """Serve version 1 by a predictor as it was before each had its own spec, and write its file."""
    environment = [
        {"name": "STORAGE_URI", "value": served_uri(site)},
        {"name": "MODEL_VERSION", "value": "1"},
    ]
    container = {"name": "kserve-container", "env": environment}
    named = {"name": "v1", "labels": {"version": "v1"}}
    path = site.overlay / "model.yaml"
    document = yaml.safe_load(path.read_text())
    document["spec"] = {"predictor": named | {"containers": [container]}}
    path.write_text(yaml.safe_dump(document))
    object_path = site.cluster.objects / "inferenceservice-sentiment.json"
    served = json.loads(object_path.read_text())
    image = f"registry.example.org/sentiment-serve@sha256:{digit * 64}"
    full = container | {"image": image, "args": ["--http_port=8080"]}
    served["spec"] = {"predictor": named | {"minReplicas": 2, "containers": [full]}}
    partial = object_path.with_suffix(".partial")
    partial.write_text(json.dumps(served))
    partial.replace(object_path)


def served_uri(site: Site) -> str:
    with registry.connected() as client:
        return f"file://{client.get_model_version_download_uri('sentiment', '1')}"


def test_a_predictor_of_the_old_layout_keeps_its_pods(site):
    """Its image is in the cluster only: model.yaml had none, and the template has another."""
    site.cluster.faults.clear()
    old_layout(site, "4")
    site.wait_routed(lambda routed: routed == {"v1": 100})
    site.wait_routed(lambda _: (site.cluster.objects / "port-sentiment-v1-predictor").exists())
    process = site.cluster.processes["v1"]
    set_image(site.overlay, "5")
    site.cluster.served.clear()
    with clients(site), site.started(2, "--canary", "25") as deployment:
        site.wait_for(v1=75, v2=25)
        assert site.cluster.processes["v1"] is process
        image = site.cluster.predictors["v1"]["containers"][0]["image"]
        assert image.endswith("4" * 64)
        result = ended(deployment)
    assert result.returncode == 0, result.stderr
    assert {status for _, status in site.cluster.served} == {200}
    assert site.history()[0].before == "v1"
    site.wait_for(v2=100)


def test_no_room_on_the_node_rolls_nothing_back(site):
    (old,) = site.cluster.processes
    pending = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient cpu"}
    pods = site.cluster.objects / "pods.json"
    pods.write_text(json.dumps({"items": [{"metadata": {}, "status": {"conditions": [pending]}}]}))
    set_image(site.overlay, "6")
    try:
        result = site.deploy(2, "--canary", "25", "--ready-seconds", "3")
    finally:
        pods.unlink()
    assert result.returncode == UnavailableError.exit_code, result.stderr
    assert "no node has room for a pod: 0/1 nodes: Insufficient cpu" in result.stderr
    assert "going back" not in result.stderr
    assert old in site.cluster.routed
    assert site.history()[0].outcome == "started"


def test_a_silent_prometheus_changes_nothing(site):
    """It takes connections, and does not answer."""
    applied = site.cluster.objects / "inferenceservice-sentiment.json"
    before = applied.read_text()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = site.deploy(1, "--canary", "25", "--prometheus", address)
    assert result.returncode == UnavailableError.exit_code, result.stderr
    assert f"Prometheus at {address}" in result.stderr.splitlines()[-1]
    assert "timed out" in result.stderr.splitlines()[-1]
    assert applied.read_text() == before


def test_a_field_that_the_template_drops_is_told_before_any_change(site):
    """KServe would give it to the canary, and the promotion would replace the judged pods."""
    path = site.overlay / "template/kustomization.yaml"
    before, plain = dict(site.cluster.processes), path.read_text()
    patch = [{"op": "add", "path": "/spec/predictor/nodeSelector", "value": {"disk": "fast"}}]
    target = {"kind": "InferenceService"}
    patches = [{"target": target, "patch": yaml.safe_dump(patch)}]
    path.write_text(yaml.safe_dump(yaml.safe_load(plain) | {"patches": patches}))
    with clients(site):
        added = site.deploy(2, "--canary", "25")
    assert added.returncode == 0, added.stderr
    assert site.cluster.processes != before
    path.write_text(plain)
    served = dict(site.cluster.processes)
    result = site.deploy(1, "--canary", "25")
    assert result.returncode == 1
    assert "template: nodeSelector.disk: v2-" in result.stderr.splitlines()[-1]
    assert site.cluster.processes == served
