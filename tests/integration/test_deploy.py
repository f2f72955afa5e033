"""deploy, as far as a registry and kubectl go: an MLflow server and S3, and no cluster."""

import os
import re
import shutil
import subprocess
import sys

import mlflow
import pytest

from components.errors import UserError
from components.io import registry
from deploy import lease, overlay, rollout
from deploy.cluster import Cluster
from deploy.state import Model, State
from deploy.version import to_deploy
from pipelines.local import mlflow_server, s3_client, s3_server
from tests.cluster import overlay_in
from tests.conftest import REPO, assert_one_line, free_port

OVERLAYS = REPO / "manifests" / "overlays"
pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl: make packages")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The environment of a registry whose artifacts are on S3."""
    directory = tmp_path_factory.mktemp("place")
    with s3_server(directory / "s3") as storage, mlflow_server(directory, storage) as address:
        yield storage | address


@pytest.fixture(scope="module")
def versions(place, trained, trained_worse, tmp_path_factory) -> mlflow.MlflowClient:
    """A registry with two versions, the second of which is the champion."""
    directory = tmp_path_factory.mktemp("versions")
    for each in (trained, trained_worse):
        arguments = [*each.registration(), "--registered", "r.json"]
        subprocess.run(
            [sys.executable, "-m", "components.register", *map(str, arguments)],
            cwd=directory,
            env=os.environ | {"PYTHONPATH": str(REPO)} | place,
            check=True,
        )
    client = mlflow.MlflowClient(place["MLFLOW_TRACKING_URI"])
    client.set_registered_model_alias("sentiment", "champion", "2")
    return client


@pytest.fixture
def deploy(place, tmp_path):
    # no cluster answers at this address
    config = f"{tmp_path}/kubeconfig"
    server = f"http://127.0.0.1:{free_port()}"
    subprocess.run(
        ["kubectl", "--kubeconfig", config, "config", "set-cluster", "none", "--server", server],
        check=True,
    )
    for arguments in (["set-context", "none", "--cluster", "none"], ["use-context", "none"]):
        subprocess.run(["kubectl", "--kubeconfig", config, "config", *arguments], check=True)

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deploy", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(REPO), "KUBECONFIG": config} | place | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_a_dry_run_prints_the_exact_change_and_makes_none(deploy, versions, tmp_path):
    production = overlay_in(tmp_path / "overlays", "production")
    uris = {n: versions.get_model_version_download_uri("sentiment", str(n)) for n in (1, 2)}
    assert uris[2].startswith("s3://mlflow/")
    first = deploy("--version", 1, "--overlay", production, "--canary", 10, "--dry-run")
    assert first.returncode == 0, first.stderr
    assert "served now: nothing\n" in first.stderr
    assert "no canary of 10%: no version but 1 is there to compare with\n" in first.stderr
    added = [line[1:] for line in first.stdout.splitlines()[3:]]
    assert {f"        value: {uris[1]}", "    name: v1", "      version: v1"} <= set(added)
    assert not (production / "model.yaml").exists()

    # as it would be
    (production / "model.yaml").write_text("\n".join(added) + "\n")
    again = deploy("--version", 1, "--overlay", production, "--dry-run")
    assert (again.returncode, again.stdout) == (0, "")
    assert "served now: version 1 for all\n" in again.stderr
    assert "no canary" not in again.stderr

    canary = deploy("--overlay", production, "--canary", "10", "--dry-run")
    assert canary.returncode == 0, canary.stderr
    assert "no canary" not in canary.stderr
    assert "the cluster is taken to be as the overlay says (kubectl get: " in canary.stderr
    steps = re.findall(r"step \d of 5: (version 1.*)", canary.stderr)
    assert len(steps) == 4
    changes = canary.stdout.split("--- ")[1:]
    assert len(changes) == 5
    for change, line in zip(changes[1:4], (10, 25, 50), strict=True):
        changed = [line for line in change.splitlines()[2:] if line[0] in "+-"]
        assert changed[1] == f"+  - trafficPercent: {line}"
        assert len(changed) == 2
    for change in (changes[0], changes[4]):
        assert re.search(rf"^\+ +value: {uris[2]}$", change, re.MULTILINE)
    assert "registry.example.org/sentiment-serve@sha256:" in changes[0]
    assert (production / "model.yaml").read_text() == "\n".join(added) + "\n"


def test_without_a_cluster_nothing_is_changed(deploy, versions, tmp_path):
    production = overlay_in(tmp_path / "overlays", "production")
    before = len(versions.search_experiments())
    assert_one_line(deploy("--overlay", production), "kubectl get: ", "refused")
    assert_one_line(
        deploy("--overlay", production, "--canary", 10, "--prometheus", "http://127.0.0.1:9"),
        "Prometheus at http://127.0.0.1:9: ",
    )
    # without a context kubectl would ask localhost:8080, which may be a predictor
    none = {"KUBECONFIG": f"{tmp_path}/none"}
    assert_one_line(deploy("--overlay", production, **none), "kubectl config: ", "current-context")
    dry = deploy("--overlay", production, "--dry-run", **none)
    assert dry.returncode == 0
    assert "the overlay says (kubectl config: error: current-context is not set)" in dry.stderr
    assert not (production / "model.yaml").exists()
    assert len(versions.search_experiments()) == before
    history = deploy("--history")
    assert (history.returncode, history.stdout) == (0, "")
    assert history.stderr.endswith("deploy: no deployments yet\n")


def test_what_does_not_fit_is_refused_with_its_name(deploy, versions, tmp_path, place):
    production = overlay_in(tmp_path / "manifests" / "overlays", "production")
    dry = ("--overlay", production, "--dry-run")
    assert_one_line(deploy("--alias", "nobody", *dry), "--alias nobody", "no such alias")
    assert_one_line(deploy("--version", 9, *dry), "--version 9", "no such version")
    words = (
        "manifests/overlays/nowhere/kustomization.yaml",
        "manifests/overlays are base, production",
    )
    assert_one_line(deploy("--overlay", "nowhere"), *words)

    digest = versions.get_model_version("sentiment", "1").tags["model_digest"]
    try:
        for wrong in ("0" * 64, "none"):
            versions.set_model_version_tag("sentiment", "1", "model_digest", wrong)
            result = deploy("--version", 1, *dry)
            assert_one_line(result, "sentiment version 1: ", "model_digest", wrong)
    finally:
        versions.set_model_version_tag("sentiment", "1", "model_digest", digest)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("mlflow-artifacts:/1/x/artifacts/model", "no storage initializer reads"),
        ("file:///tmp/nowhere/model", "on this machine only"),
        ("/tmp/nowhere/model", "on this machine only"),
    ],
)
def test_what_no_cluster_can_fetch_is_refused(tmp_path, monkeypatch, source: str, words: str):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry.db")
    with registry.connected() as client:
        client.create_registered_model("sentiment")
        tags = {"model_digest": "0" * 64}
        version = client.create_model_version("sentiment", source, tags=tags)
        with pytest.raises(UserError, match=rf"sentiment version 1 is at .*{words}"):
            to_deploy(client, version, local=False)


def test_files_that_were_changed_after_the_registration_are_refused(
    deploy, versions, tmp_path, place
):
    production = overlay_in(tmp_path / "overlays", "production")
    uri = versions.get_model_version_download_uri("sentiment", "1")
    key = uri.removeprefix("s3://mlflow/") + "/model.skops"
    client = s3_client(place)
    body = client.get_object(Bucket="mlflow", Key=key)["Body"].read()
    try:
        client.put_object(Bucket="mlflow", Key=key, Body=body + b"x")
        result = deploy("--version", 1, "--overlay", production, "--dry-run")
        assert_one_line(result, "sentiment version 1: ", "not the one that training.json describes")
    finally:
        client.put_object(Bucket="mlflow", Key=key, Body=body)


def test_an_overlay_whose_containers_do_not_merge_is_not_applied(tmp_path, monkeypatch):
    folder = overlay_in(tmp_path, "production")
    base = tmp_path / "base" / "kustomization.yaml"
    base.write_text("resources: [service.yaml]\n")  # and nothing said of lists
    with pytest.raises(UserError, match="v1 has lost its image; kustomize must know"):
        rollout._bring(Cluster("none"), folder, State(Model("1", "s3://models/1")))
    assert not (folder / "model.yaml").exists()


@pytest.mark.parametrize("name", sorted(each.name for each in OVERLAYS.iterdir()))
def test_every_overlay_takes_a_canary_and_promotes_it_without_a_restart(name: str, tmp_path):
    shutil.copytree(REPO / "manifests", tmp_path / "manifests")
    folder, cluster = tmp_path / "manifests" / "overlays" / name, Cluster()
    kustomization = folder / "kustomization.yaml"  # in git there is the digest of no image
    kustomization.write_text(kustomization.read_text().replace("0" * 64, "1" * 64))
    one, two = (Model(str(n), f"s3://models/{n}/artifacts/model") for n in (1, 2))
    made = []
    for state in (State(one), State(one, two), State(one, two, 10), State(two)):
        overlay.write(folder / overlay.FILE, overlay.text(state, cluster.render(folder)))
        service = cluster.render(folder)
        overlay.check(service, state)
        made.append(service["spec"])
    stable, canary = made[3]["predictor"], made[2]["canary"][0]["predictor"]
    assert canary["containers"] == stable["containers"]
    assert canary["minReplicas"] == stable["minReplicas"] == made[0]["predictor"]["minReplicas"]


def test_the_real_kubectl_knows_every_command_that_is_used(deploy, tmp_path, monkeypatch):
    """There is no cluster, so each must fail for that, and not for how it is called."""
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/kubeconfig")
    used = []
    plain = Cluster.kubectl

    def kubectl(self, *arguments: str, **how):
        used.append(arguments[0])
        with pytest.raises(Exception, match=r"refused|connect|Unable|the server could not"):
            plain(self, *arguments, **how)
        return ""

    monkeypatch.setattr(Cluster, "kubectl", kubectl)
    cluster, model = Cluster("none"), Model("1", "s3://models/1")
    cluster.service()
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}})
    cluster.wait(model, 1)
    document = lease._taken(None)
    lease._put(cluster, document)
    document["metadata"]["resourceVersion"] = "1"
    lease._put(cluster, document)
    cluster.kubectl("delete", lease._KIND, "x", "--ignore-not-found")
    assert used == [*("get", "apply", "wait", "rollout", "wait", "create", "replace", "delete")]
    with pytest.raises(Exception, match=r"port-forward: .*refused"), cluster.reached(model):
        pass
