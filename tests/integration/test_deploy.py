"""The command line of deploy up to the cluster: a real MLflow server, S3 and kubectl."""

import os
import re
import shutil
import subprocess
import sys

import mlflow
import pytest
import yaml

from components.errors import UserError
from components.io import registry
from deploy import overlay, rollout
from deploy.cluster import Cluster, render
from deploy.overlay import State
from deploy.version import verified_uri
from pipelines.local import mlflow_server, s3_client, s3_server
from tests.api_server import kubeconfig
from tests.cluster import base_service, overlay_in
from tests.conftest import REPO, assert_one_line, free_port

OVERLAYS = REPO / "manifests" / "overlays"
pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl: make packages")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """The environment of a registry whose artifacts are on S3."""
    directory = tmp_path_factory.mktemp("servers")
    with s3_server(directory / "s3") as storage, mlflow_server(directory, storage) as address:
        yield storage | address


@pytest.fixture(scope="module")
def versions(servers, trained, trained_worse, tmp_path_factory) -> mlflow.MlflowClient:
    """A registry with two versions, the second of which is the champion."""
    directory = tmp_path_factory.mktemp("versions")
    for each in (trained, trained_worse):
        arguments = [*each.registration(), "--registered", "r.json"]
        subprocess.run(
            [sys.executable, "-m", "components.register", *map(str, arguments)],
            cwd=directory,
            env=os.environ | {"PYTHONPATH": str(REPO)} | servers,
            check=True,
        )
    client = mlflow.MlflowClient(servers["MLFLOW_TRACKING_URI"])
    client.set_registered_model_alias("sentiment", "champion", "2")
    return client


@pytest.fixture
def deploy(servers, tmp_path):
    # no API server listens at this address
    config = kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{free_port()}")

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"PYTHONPATH": str(REPO), "KUBECONFIG": str(config)}
        return subprocess.run(
            [sys.executable, "-m", "deploy", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | own | servers | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def assert_unavailable(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Assert exit code 4 after retries, and one last line with the cause."""
    assert result.returncode == 4, result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    assert result.stderr.count("next attempt in") == 3
    line = result.stderr.splitlines()[-1]
    assert line.startswith("deploy: error: ")
    for word in words:
        assert word in line


def test_dry_run_prints_the_exact_change(deploy, versions, tmp_path):
    production = overlay_in(tmp_path / "overlays", "production")
    uris = {n: versions.get_model_version_download_uri("sentiment", str(n)) for n in (1, 2)}
    assert uris[2].startswith("s3://mlflow/")
    before = (production / "model.yaml").read_text()
    first = deploy("--version", 1, "--overlay", production, "--canary", 10, "--dry-run")
    assert first.returncode == 0, first.stderr
    assert "served now: nothing\n" in first.stderr
    assert re.search(r"no canary of 10%: no predictor but v1-\w+ is there", first.stderr)
    added = {line[1:] for line in first.stdout.splitlines()[3:] if line.startswith("+")}
    one, two = (
        overlay.new_predictor(render(production / "template"), str(n), uris[n]) for n in (1, 2)
    )
    assert {f"        value: {uris[1]}", f"    name: {one.name}"} <= added
    assert (production / "model.yaml").read_text() == before

    scaling = overlay.scaling_of(render(production / "template"))
    written = overlay.patch_text(production / "model.yaml", State(one), scaling)
    (production / "model.yaml").write_text(written)
    again = deploy("--version", 1, "--overlay", production, "--dry-run")
    assert again.returncode == 0, again.stderr
    assert again.stdout == ""
    assert f"served now: {one.name} for all\n" in again.stderr
    assert "no canary" not in again.stderr

    canary = deploy("--overlay", production, "--canary", "10", "--dry-run")
    assert canary.returncode == 0, canary.stderr
    assert "no canary" not in canary.stderr
    assert "assuming that the cluster serves what the overlay says (kubectl get: " in canary.stderr
    steps = re.findall(rf"step \d of 6: ({one.name}.*)", canary.stderr)
    assert len(steps) == 5
    changes = canary.stdout.split("--- ")[1:]
    assert len(changes) == 6
    for change, percent in zip(changes[1:5], (10, 25, 50, 100), strict=True):
        changed = [line for line in change.splitlines()[2:] if line[0] in "+-"]
        assert changed[1] == f"+  - trafficPercent: {percent}"
        assert len(changed) == 2
    for change in (changes[0], changes[5]):
        assert re.search(rf"^\+ +name: {two.name}$", change, re.MULTILINE)
    assert "registry.example.org/sentiment-serve@sha256:" in changes[0]
    assert (production / "model.yaml").read_text() == written


def test_unreachable_servers_change_nothing(deploy, versions, tmp_path):
    production = overlay_in(tmp_path / "overlays", "production")
    before = (production / "model.yaml").read_text()
    experiments = len(versions.search_experiments())
    assert_unavailable(deploy("--overlay", production), "kubectl get: ", "refused")
    dead = f"http://127.0.0.1:{free_port()}"
    canary = deploy("--overlay", production, "--canary", 10, "--prometheus", dead)
    assert_unavailable(canary, f"Prometheus at {dead}: ", "refused")
    assert (production / "model.yaml").read_text() == before
    assert len(versions.search_experiments()) == experiments
    history = deploy("--history")
    assert history.returncode == 0
    assert history.stdout == ""
    assert history.stderr.endswith("deploy: no deployments yet\n")


def test_missing_context_is_the_users(deploy, versions, tmp_path):
    production = overlay_in(tmp_path / "overlays", "production")
    unknown = deploy("--overlay", production, "--context", "elsewhere")
    assert_one_line(unknown, "kubectl config: ", "context elsewhere not found")
    variable = deploy("--overlay", production, CONTEXT="elsewhere")  # set by tools.cluster run
    assert_one_line(variable, "kubectl config: ", "context elsewhere not found")
    # without a context kubectl would ask localhost:8080, where a predictor may listen
    none = {"KUBECONFIG": f"{tmp_path}/none"}
    assert_one_line(deploy("--overlay", production, **none), "kubectl config: ", "current-context")
    dry = deploy("--overlay", production, "--dry-run", **none)
    assert dry.returncode == 0
    assert "the overlay says (kubectl config: error: current-context is not set)" in dry.stderr


def test_wrong_input_is_named(deploy, versions, tmp_path):
    production = overlay_in(tmp_path / "manifests" / "overlays", "production")
    dry = ("--overlay", production, "--dry-run")
    assert_one_line(deploy("--alias", "absent", *dry), "--alias absent", "no such alias")
    assert_one_line(deploy("--version", 9, *dry), "--version 9", "no such version")
    words = (
        "manifests/overlays/nowhere/kustomization.yaml",
        "manifests/overlays are production",
    )
    assert_one_line(deploy("--overlay", "nowhere"), *words)

    named = deploy("--name", "airline", *dry)
    assert_one_line(named, "--name airline", "serves sentiment", "sentiment/registered-model")

    digest = versions.get_model_version("sentiment", "1").tags["model_digest"]
    try:
        for wrong in ("0" * 64, "none"):
            versions.set_model_version_tag("sentiment", "1", "model_digest", wrong)
            result = deploy("--version", 1, *dry)
            assert_one_line(result, "sentiment version 1: ", "model_digest", wrong)
    finally:
        versions.set_model_version_tag("sentiment", "1", "model_digest", digest)


def test_help_lists_the_exit_codes(deploy):
    text = deploy("--help").stdout
    assert re.findall(r"^  (\d)  ", text, re.MULTILINE) == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("mlflow-artifacts:/1/x/artifacts/model", "no storage initializer reads"),
        ("file:///tmp/nowhere/model", "on this machine only"),
        ("/tmp/nowhere/model", "on this machine only"),
    ],
)
def test_unreachable_files_are_refused(own_registry, source: str, words: str):
    with registry.connected() as client:
        client.create_registered_model("sentiment")
        tags = {"model_digest": "0" * 64}
        version = client.create_model_version("sentiment", source, tags=tags)
        with pytest.raises(UserError, match=rf"sentiment version 1 is at .*{words}"):
            verified_uri(client, version, local=False)


def test_changed_files_are_refused(deploy, versions, tmp_path, servers):
    production = overlay_in(tmp_path / "overlays", "production")
    uri = versions.get_model_version_download_uri("sentiment", "1")
    key = uri.removeprefix("s3://mlflow/") + "/model.skops"
    client = s3_client(servers)
    body = client.get_object(Bucket="mlflow", Key=key)["Body"].read()
    try:
        client.put_object(Bucket="mlflow", Key=key, Body=body + b"x")
        result = deploy("--version", 1, "--overlay", production, "--dry-run")
        assert_one_line(result, "sentiment version 1: ", "not the one that training.json describes")
    finally:
        client.put_object(Bucket="mlflow", Key=key, Body=body)


def test_unmerged_containers_are_refused(tmp_path):
    folder = overlay_in(tmp_path, "production")
    template = folder / "template" / "kustomization.yaml"
    template.write_text(f"{template.read_text()}patches: [path: env.yaml]\n")
    patch = {"containers": [{"name": "kserve-container", "env": [{"name": "B", "value": "2"}]}]}
    document = yaml.safe_load((folder / "model.yaml").read_text()) | {"spec": {"predictor": patch}}
    (folder / "template" / "env.yaml").write_text(yaml.safe_dump(document))
    assert overlay.new_predictor(render(folder / "template"), "1", "s3://models/1").image
    # without the schema that tells kustomize how lists merge
    (tmp_path / "base" / "kustomization.yaml").write_text("resources: [service.yaml]\n")
    with pytest.raises(UserError, match="has no image; kustomize must know"):
        overlay.new_predictor(render(folder / "template"), "1", "s3://models/1")


def test_an_image_changed_beside_the_template_is_refused(tmp_path, monkeypatch):
    """`images` in the overlay itself would reach the predictors that are served."""
    folder = overlay_in(tmp_path, "production")
    with (folder / "kustomization.yaml").open("a") as file:
        file.write("images: [{name: registry.example.org/sentiment-serve, newTag: latest}]\n")
    new = overlay.new_predictor(render(folder / "template"), "1", "s3://models/1")
    before = (folder / "model.yaml").read_text()
    monkeypatch.setattr(Cluster, "replicas", lambda self, predictor: 0)  # there is no cluster
    steps = rollout.Rollout(
        *(Cluster(base_service(), "none"), folder, {"minReplicas": 1}),
        *(lambda state: None, lambda: None, 1),
    )
    with pytest.raises(UserError, match=r"changes the image of v1-\w+ from .*`images` belongs"):
        steps.run(None, [State(new)])
    assert (folder / "model.yaml").read_text() == before


@pytest.mark.parametrize("name", sorted(each.name for each in OVERLAYS.iterdir()))
def test_promotion_restarts_no_pod(name: str, tmp_path):
    """The stable predictor after promotion is the canary, but for its scaling."""
    shutil.copytree(REPO / "manifests", tmp_path / "manifests")
    folder = tmp_path / "manifests" / "overlays" / name
    kustomization = folder / "template" / "kustomization.yaml"
    # git has zeros in place of a digest
    kustomization.write_text(kustomization.read_text().replace("0" * 64, "1" * 64))
    template = render(folder / "template")
    scaling = overlay.scaling_of(template)
    one, two = (
        overlay.new_predictor(template, str(n), f"s3://models/{n}/artifacts/model") for n in (1, 2)
    )
    path, specs = folder / overlay.FILE, []
    for state in (State(one), State(one, two), State(one, two, 10), State(two)):
        overlay.write(path, overlay.patch_text(path, state, scaling))
        document = render(folder)
        overlay.check(document, state)
        specs.append(document["spec"])
    stable, canary = specs[3]["predictor"], specs[2]["canary"][0]["predictor"]
    for key in overlay.SCALING:
        assert stable.pop(key, None) == specs[0]["predictor"].get(key)
        canary.pop(key, None)
    assert canary == stable


def test_second_namespace_needs_no_code(tmp_path):
    """An overlay may move the service; deploy reads the namespace from what kustomize renders."""
    folder = overlay_in(tmp_path, "production")
    with (folder / "kustomization.yaml").open("a") as file:
        file.write("namespace: other\n")
    path = folder / overlay.FILE
    state = State(overlay.new_predictor(render(folder / "template"), "1", "s3://models/1"))
    overlay.write(path, overlay.patch_text(path, state, {"minReplicas": 1}))
    document = render(folder)
    overlay.check(document, state)
    assert overlay.service_of(document).namespace == "other"
