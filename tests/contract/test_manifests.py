"""The overlays render, objects fit their schemas, policies hold; mistakes are found."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.overlay import (
    Replicas,
    State,
    new_predictor,
    patch_text,
    scaling_of,
    service_of,
)
from pipelines import tasks
from serving import flags
from tests import manifests, policies
from tests.cluster import base_service
from tests.conftest import REPO
from tests.manifests import OVERLAYS, Object, find, kustomize, render, schema_errors
from tests.policies import broken, change

EVERY = pytest.mark.parametrize("overlay", OVERLAYS)
ON_AWS = ("staging", "production")
ISVC = ("InferenceService", "sentiment")
MLFLOW = ("Deployment", "mlflow")
DEPLOYER = ("Role", "sentiment-deployer")
CONTAINER = "spec/predictor/containers/0"
POD = "spec/template/spec"
PLACEHOLDER = re.compile(r"\b(NAME|NAMESPACE|ACCOUNT|REGION|BUCKET|HOST|ISSUER|KEYS|AUDIENCE)\b")
SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}  # without names


@EVERY
def test_objects_fit_their_schemas(overlay: str):
    objects = render(overlay)
    assert len(objects) > 20
    assert schema_errors(objects) == []


@EVERY
def test_policies_hold(overlay: str):
    assert broken(render(overlay)) == []


@pytest.mark.parametrize(
    ("what", "path", "value", "words"),
    [
        (ISVC, "spec/predictor/minReplica", 2, "has no such field"),
        (ISVC, f"{CONTAINER}/resources/limit", {}, "has no such field"),
        (ISVC, f"{CONTAINER}/readinessProbe/httpGet/prot", 80, "has no such field"),
        (ISVC, f"{CONTAINER}/env/0/valeu", "x", "has no such field"),
        (ISVC, "spec/predictor/minReplicas", "2", "is not of type int"),
        (ISVC, "spec/predictor/containers", {}, "is not of type list"),
        (("ClusterStorageContainer", "sentiment"), "spec/container/security", {}, "no such field"),
        (("Deployment", "mlflow"), "spec/replica", 1, "replica"),
        (("Deployment", "mlflow"), "spec/template/spec/volumes/0/configmap", {}, "configmap"),
        (("NetworkPolicy", "gateway"), "spec/ingres", [], "ingres"),
        (("PodDisruptionBudget", "sentiment-predictor"), "spec/minAvailble", 1, "minAvailble"),
        (("Gateway", "sentiment"), "spec/listeners/0/tsl", {}, "'\"tsl\"' does not exist"),
        (("Gateway", "sentiment"), "spec/listeners/0/port", 70000, "must be <= 65535"),
        (("ExternalSecret", "mlflow"), "spec/refreshinterval", "1h", "does not exist in type"),
        (("SecurityPolicy", "sentiment"), "spec/jwt/providers/0/audience", "x", "does not exist"),
        (("EnvoyProxy", "sentiment"), "spec/provider/type", "Kubernets", "is not assignable"),
        (("Certificate", "sentiment"), "spec/dnsNames", "x", "is not assignable"),
    ],
)
def test_mistyped_field_is_found(what: tuple[str, str], path: str, value: Any, words: str):
    objects = render("production")
    change(find(objects, *what), path, value)
    found = schema_errors(objects)
    assert words in found[0]
    assert all(error.startswith(f"{' '.join(what)}: ") for error in found)


def test_unknown_kind_is_found():
    objects = render("production")
    change(find(objects, *MLFLOW), "kind", "Deploymnet")
    assert [*map(str, schema_errors(objects))] == ["Deploymnet mlflow: no schema of apps/v1"]


@pytest.mark.parametrize(
    ("what", "path", "value", "words"),
    [
        (ISVC, f"{CONTAINER}/image", "registry.example.org/serve:1.0", "not named by digest"),
        (ISVC, f"{CONTAINER}/image", "registry.example.org/serve:latest", "not named by digest"),
        (ISVC, f"{CONTAINER}/image", "registry.example.org/serve", "not named by digest"),
        (ISVC, f"{CONTAINER}/image", f"r.org/serve:1@sha256:{'0' * 64}", "not named by digest"),
        (MLFLOW, f"{POD}/initContainers/0/image", "python:3.11", "not named by digest"),
        (ISVC, f"{CONTAINER}/env/-", {"name": "DB_PASSWORD", "value": "hunter2"}, "literal value"),
        (MLFLOW, f"{POD}/containers/0/env/2", {"name": "API_TOKEN", "value": "x"}, "literal value"),
        (MLFLOW, f"{POD}/containers/0/args/4", "--uri=postgresql://a:b@c/d", "looks like a secret"),
        (("ExternalSecret", "mlflow"), "kind", "Secret", "a secret's values"),
        (ISVC, f"{CONTAINER}/resources/limits/memory", ..., "no memory in limits"),
        (ISVC, f"{CONTAINER}/resources", ..., "no cpu in requests"),
        (MLFLOW, f"{POD}/initContainers/0/resources/requests/cpu", ..., "no cpu in requests"),
        (ISVC, f"{CONTAINER}/securityContext/readOnlyRootFilesystem", False, "readOnlyRootFile"),
        (ISVC, f"{CONTAINER}/securityContext/capabilities/add", ["NET_RAW"], "capabilities"),
        (ISVC, f"{CONTAINER}/securityContext/runAsUser", 0, "runAsUser"),
        (ISVC, f"{CONTAINER}/securityContext/allowPrivilegeEscalation", ..., "allowPrivilege"),
        (MLFLOW, f"{POD}/securityContext/seccompProfile", ..., "seccompProfile"),
        (MLFLOW, f"{POD}/hostNetwork", True, "hostNetwork"),
        (MLFLOW, f"{POD}/volumes/-", {"name": "x", "hostPath": {"path": "/"}}, "node's disk"),
        (ISVC, f"{CONTAINER}/readinessProbe", ..., "no readinessProbe"),
        (MLFLOW, f"{POD}/containers/0/livenessProbe", ..., "no livenessProbe"),
        (ISVC, f"{CONTAINER}/lifecycle", ..., "it waits 0 s"),
        (ISVC, "spec/predictor/terminationGracePeriodSeconds", 30, "then has 15 s"),
        (ISVC, "spec/predictor/automountServiceAccountToken", ..., "it has a token"),
        (ISVC, "spec/predictor/serviceAccountName", "sentiment", "is not defined here"),
        (("ServiceAccount", "mlflow"), "automountServiceAccountToken", True, "is True"),
        (("Role", "pipeline"), "rules/-", SECRETS, "all secrets"),
        (DEPLOYER, "rules/0/verbs/0", "*", "Role sentiment-deployer: *"),
        (DEPLOYER, "kind", "ClusterRole", "for the whole cluster"),
        (("NetworkPolicy", "default-deny"), "spec/policyTypes", ["Ingress"], "denies all"),
        (("NetworkPolicy", "default-deny"), "spec/ingress", [{}], "denies all"),
        (
            ("Namespace", "sentiment"),
            "metadata/labels/pod-security.kubernetes.io~enforce",
            "baseline",
            "is not restricted",
        ),
        (MLFLOW, "metadata/namespace", "default", "namespace default"),
        (("Service", "mlflow"), "spec/selector", {"app": "mlflow"}, "it selects no pod"),
        (
            ("NetworkPolicy", "storage"),
            "spec/podSelector/matchLabels/component",
            "predictr",
            "it selects no pod",
        ),
        (
            ("PodDisruptionBudget", "sentiment-predictor"),
            "spec/selector/matchLabels/component",
            "x",
            "no PodDisruptionBudget",
        ),
        (ISVC, "spec/predictor/minReplicas", 1, "minReplicas is 1"),
        (ISVC, "spec/predictor/maxReplicas", ..., "does not scale"),
        (ISVC, "spec/predictor/topologySpreadConstraints/0", ..., "not spread over zones"),
        (ISVC, "metadata/annotations/serving.kserve.io~deploymentMode", ..., "deploymentMode is"),
        (ISVC, f"{CONTAINER}/name", "predictor", "must be named kserve-container"),
    ],
)
def test_broken_policy_is_found(what: tuple[str, str], path: str, value: Any, words: str):
    objects = render("production")
    change(find(objects, *what), path, value)
    assert words in "\n".join(broken(objects))


def deployed(overlay: str, directory: Path, canary: bool = False) -> list[Object]:
    """Render an overlay with version 1 deployed, and version 2 as its canary."""
    copy = shutil.copytree(REPO / "manifests", directory / "manifests", dirs_exist_ok=True)
    folder = copy / "overlays" / overlay
    path = folder / "template" / "kustomization.yaml"
    path.write_text(path.read_text().replace("0" * 64, "1" * 64))  # git has zeros
    template = find(kustomize(folder / "template"), *ISVC)
    one, two = (new_predictor(template, str(n), f"s3://models/{n}") for n in (1, 2))
    state = State(one, two, 10, Replicas(stable=5, canary=1)) if canary else State(one)
    path = folder / "model.yaml"
    path.write_text(patch_text(path, state, scaling_of(template)))
    return kustomize(folder)


@EVERY
def test_deployed_version_changes_nothing_else(overlay: str, tmp_path: Path):
    before = find(render(overlay), *ISVC)["spec"]["predictor"]
    objects = deployed(overlay, tmp_path)
    assert schema_errors(objects) == broken(objects) == []
    after = find(objects, *ISVC)["spec"]["predictor"]
    for predictor in (before, after):
        (container,) = predictor["containers"]
        predictor["env"] = {each["name"]: each["value"] for each in container.pop("env")}
        container["image"] = container["image"].replace("1" * 64, "0" * 64)
    values = {"STORAGE_URI": "s3://models/1", "MODEL_VERSION": "1"}
    assert after.pop("env") == before.pop("env") | values
    name = after["name"]
    assert after == before | {"name": name, "labels": {"version": name}}


@EVERY
def test_canary_is_valid_with_its_replicas(overlay: str, tmp_path: Path):
    objects = deployed(overlay, tmp_path, canary=True)
    assert schema_errors(objects) == broken(objects) == []
    spec = find(objects, *ISVC)["spec"]
    (canary,) = spec["canary"]
    assert (spec["predictor"]["minReplicas"], canary["predictor"]["minReplicas"]) == (5, 1)
    (own,), (stable,) = canary["predictor"]["containers"], spec["predictor"]["containers"]
    assert own | {"env": stable["env"]} == stable


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("spec/predictor/name", "v2-00000000", "predictor v2-00000000 has model version 1"),
        ("spec/predictor/labels/version", "v1", "has model version 1"),
        ("spec/predictor/labels", ..., "has model version 1"),
        (f"{CONTAINER}/env/1/value", "2", "has model version 2"),
        (f"{CONTAINER}/env/0/value", "models:/sentiment@champion", "STORAGE_URI is models:"),
        (f"{CONTAINER}/env/0", ..., "STORAGE_URI is None"),
        ("spec/canary/0/trafficPercent", 101, "more than all traffic"),
        ("spec/canary/0/predictor/maxReplicas", 3, "the canary has maxReplicas"),
        ("spec/canary/0/predictor/containers/0/image", ..., "not named by digest"),
        ("spec/canary/0/predictor/containers/0/resources/limits", ..., "no cpu in limits"),
    ],
)
def test_bad_deployment_is_found(path: str, value: Any, words: str, tmp_path: Path):
    objects = deployed("production", tmp_path, canary=True)
    change(find(objects, *ISVC), path, value)
    assert words in "\n".join(broken(objects))


def test_predictors_of_one_name_are_found(tmp_path: Path):
    objects = deployed("production", tmp_path, canary=True)
    spec = find(objects, *ISVC)["spec"]
    change(find(objects, *ISVC), "spec/canary/0/predictor/name", spec["predictor"]["name"])
    assert "predictors of the same name" in "\n".join(broken(objects))


@pytest.mark.parametrize("overlay", ON_AWS)
def test_account_stands_in_account_yaml_only(overlay: str, tmp_path: Path):
    folder = REPO / "manifests" / "overlays" / overlay / "template"
    account = yaml.safe_load((folder / "account.yaml").read_text())["data"]
    text = yaml.safe_dump_all(render(overlay))
    for value in account.values():
        assert value in text
    assert "name: account" not in text
    others = [p for p in (REPO / "manifests").rglob("*.yaml") if "overlays" not in p.parts]
    for path in others:
        if "aws" not in path.parts:
            assert account["account"] not in path.read_text(), path


@EVERY
def test_names_stand_in_service_yaml_only(overlay: str):
    assert PLACEHOLDER.findall(yaml.safe_dump_all(render(overlay))) == []
    assert service_of(find(render(overlay), *ISVC)) == base_service()


@EVERY
def test_overlay_agrees_with_code_and_docs(overlay: str):
    objects = render(overlay)
    (container,) = find(objects, *ISVC)["spec"]["predictor"]["containers"]
    docs = (REPO / "docs" / "serving.md").read_text()
    for probe, path in (
        ("livenessProbe", "/v2/health/live"),
        ("readinessProbe", "/v1/models/sentiment"),
    ):
        assert container[probe]["httpGet"]["path"] == path
        assert f"`GET {path}`" in docs
    assert container["command"] == ["python", "-m", "serving"]
    args = flags.parse(container["args"], {})
    assert (args.model_name, args.model_uri) == ("sentiment", "/mnt/models")
    assert bool(args.capture) is (overlay in ON_AWS)
    text = yaml.safe_dump_all(objects)
    assert tasks.SECRET in text
    assert "MLFLOW_TRACKING_PASSWORD" in text
    data = [each["data"] for each in objects if each["kind"] == "ConfigMap"]
    (auth,) = [each["auth.ini"] for each in data if "auth.ini" in each]
    assert "postgresql+psycopg2://\n" in auth, "no password in it"


def test_secret_templates_hold_no_secret():
    """The local overlay's secrets are made from these."""
    (*templates,) = (REPO / "manifests" / "overlays" / "local").glob("*.template")
    assert {path.name for path in templates} == {
        "capstone-secret.env.template",
        "mlflow.env.template",
    }
    for path in templates:
        for line in path.read_text().splitlines():
            key, _, value = line.partition("=")
            if not line.startswith("#") and policies._SECRET.search(key):
                assert value == "", f"{path.name}: {key}"


def test_kubectl_reads_the_objects(tmp_path: Path):
    """Real kubectl decodes them by its own types, without a server."""
    own = [o for o in render("local") if (o["apiVersion"], o["kind"]) not in manifests._KSERVE]
    path = tmp_path / "objects.yaml"
    path.write_text(yaml.safe_dump_all(own))
    printed = manifests.kubectl("label", "--local", "--filename", str(path), "a=b", "-o", "name")
    assert len(printed.splitlines()) == len(own)
