"""A second model beside the first, by docs/second-model.md, and another gateway."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.overlay import (
    Service,
    State,
    find_folder,
    new_predictor,
    patch_text,
    scaling_of,
    service_of,
)
from tests.conftest import REPO
from tests.documents import blocks
from tests.gateway_policies import INSIDE, OUTSIDE
from tests.manifests import Object, find, kustomize, name, schema_errors
from tests.policies import broken, of_kind, workloads

PAGE = (REPO / "docs/second-model.md").read_text()
CLUSTER = (REPO / "docs/cluster.md").read_text()
BESIDE, CERTIFICATE, APART = map(
    yaml.safe_load, re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
)
ISVC = ("InferenceService", "airline")


def write(path: Path, document: Any) -> None:
    path.write_text(yaml.safe_dump(document))


def kustomization(folder: Path, **changes: Any) -> None:
    """Add to the lists, and set the other fields, of a kustomization."""
    path = folder / "kustomization.yaml"
    document = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        document[key] = [*document.get(key, []), *value] if isinstance(value, list) else value
    write(path, document)


@pytest.fixture
def overlays(tmp_path: Path) -> Path:
    """The overlays with one for the model ``airline``, as the page says."""
    shutil.copytree(REPO / "manifests", tmp_path / "manifests")
    steps = blocks(PAGE)[0]
    subprocess.run(["bash", "-euc", steps], cwd=tmp_path, check=True, timeout=60)
    folder = tmp_path / "manifests/overlays"
    write(folder / "airline/template/kustomization.yaml", BESIDE)
    return folder


def move_to_own_namespace(folder: Path) -> None:
    for file in ("model.yaml", "template/service.yaml"):
        document = yaml.safe_load((folder / file).read_text())
        document["metadata"]["namespace"] = APART["namespace"]
        write(folder / file, document)
    write(folder / "template/kustomization.yaml", BESIDE | APART)


def ids(objects: list[Object]) -> set[tuple[str, str | None, str]]:
    metadata = [(each["kind"], each["metadata"]) for each in objects]
    return {(kind, own.get("namespace"), own["name"]) for kind, own in metadata}


def address(objects: list[Object]) -> str:
    (service,) = [each for each in of_kind(objects, "Service") if "externalName" in each["spec"]]
    return f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"


def granted(role: Object, verb: str, resource: str, wanted: str) -> bool:
    return any(
        verb in rule["verbs"]
        and resource in rule["resources"]
        and wanted in rule.get("resourceNames", [wanted])
        for rule in role["rules"]
    )


def test_second_model_shares_no_object_with_the_first(overlays: Path):
    first, second = kustomize(overlays / "local"), kustomize(overlays / "airline")
    assert ids(first) & ids(second) == set()
    assert schema_errors(second) == []
    assert broken([*first, *second]) == broken([*first, *second], INSIDE) == []
    assert service_of(find(second, *ISVC)) == Service("airline", "sentiment", "airline", "airline")
    assert not re.findall(r"\b(NAME|NAMESPACE|BUCKET)\b", yaml.safe_dump_all(second))
    services = [
        each for each in of_kind([*first, *second], "Service") if "ExternalName" in str(each)
    ]
    assert [each["metadata"]["name"] for each in services] == [
        "sentiment-sentiment",
        "airline-sentiment",
    ]


def test_each_budget_selects_the_pods_of_its_model(overlays: Path):
    objects = [*kustomize(overlays / "local"), *kustomize(overlays / "airline")]
    predictors = {each.name: each for each in workloads(objects) if "Inference" in each.name}
    assert len(predictors) == 2
    for budget in of_kind(objects, "PodDisruptionBudget"):
        labels = budget["spec"]["selector"]["matchLabels"].items()
        model = budget["metadata"]["name"].removesuffix("-predictor")
        selected = [own for own, pods in predictors.items() if labels <= pods.labels.items()]
        assert selected == [f"InferenceService {model}"]


@pytest.mark.parametrize(("own", "other"), [("sentiment", "airline"), ("airline", "sentiment")])
def test_a_deployer_changes_its_own_model_only(overlays: Path, own: str, other: str):
    objects = [*kustomize(overlays / "local"), *kustomize(overlays / "airline")]
    role = find(objects, "Role", f"{own}-deployer")
    (binding,) = [
        each for each in of_kind(objects, "RoleBinding") if own in each["roleRef"]["name"]
    ]
    assert binding["roleRef"]["name"] == f"{own}-deployer"
    for verb, resource, suffix in (
        ("patch", "inferenceservices", ""),
        ("update", "leases", "-deploy"),
        ("delete", "leases", "-deploy"),
    ):
        assert granted(role, verb, resource, f"{own}{suffix}")
        assert not granted(role, verb, resource, f"{other}{suffix}")


def test_second_model_in_its_own_namespace(overlays: Path):
    move_to_own_namespace(overlays / "airline")
    objects = kustomize(overlays / "airline")
    assert {namespace for _, namespace, _ in ids(objects)} == {None, "airlines"}
    assert schema_errors(objects) == broken(objects) == []
    assert address(objects) == "airline-airlines.airlines.svc.cluster.local"
    account = find(objects, "ServiceAccount", "sentiment-predictor")
    assert account["secrets"] == [{"name": "capstone-secret"}]
    assert ids(objects) & ids(kustomize(overlays / "local")) == set()


def test_second_model_on_aws(overlays: Path):
    shutil.copy(overlays / "production/template/account.yaml", overlays / "airline/template")
    components = ["../../../service", "../../../cloud/capture"]
    template = BESIDE | {"resources": ["service.yaml", "account.yaml"], "components": components}
    write(overlays / "airline/template/kustomization.yaml", template)
    kustomization(overlays / "production/template", patches=CERTIFICATE)
    first, second = kustomize(overlays / "production"), kustomize(overlays / "airline")
    assert broken([*first, *second]) == broken([*first, *second], OUTSIDE) == []
    assert ids(first) & ids(second) == set()
    hosts = find(first, "Certificate", "sentiment")["spec"]["dnsNames"]
    assert hosts == ["sentiment-sentiment.example.org", "airline-sentiment.example.org"]
    captured = [re.findall(r"--capture=(\S+)", json.dumps(each))[0] for each in (first, second)]
    assert [each.rstrip('",').rpartition("captured/")[2] for each in captured] == [
        "sentiment/",
        "airline/",
    ]


def test_a_version_of_the_second_model_is_deployed(overlays: Path):
    """The patch that deploy writes finds the InferenceService by the names in model.yaml."""
    folder = find_folder(str(overlays / "airline"))
    template = find(kustomize(folder / "template"), *ISVC)
    image = template["spec"]["predictor"]["containers"][0]["image"].replace("0" * 64, "1" * 64)
    template["spec"]["predictor"]["containers"][0]["image"] = image
    new = new_predictor(template, "3", "s3://models/3")
    path = folder / "model.yaml"
    path.write_text(patch_text(path, State(new), scaling_of(template)))
    predictor = find(kustomize(folder), *ISVC)["spec"]["predictor"]
    assert predictor["name"] == new.name
    assert broken([*kustomize(overlays / "local"), *kustomize(folder)]) == []


def test_kserve_routes_the_addresses_to_the_gateway(overlays: Path):
    """KServe's hosts are NAME-NAMESPACE and each domain of its configuration."""
    (block,) = re.findall(r"^```json\n(.*?)^```", CLUSTER, re.MULTILINE | re.DOTALL)
    config = json.loads(block)
    objects = kustomize(overlays / "local")
    (gateway,) = of_kind(objects, "Gateway")
    own = gateway["metadata"]
    assert config["kserveIngressGateway"] == f"{own['namespace']}/{own['name']}"
    domains = [config["ingressDomain"], *config["additionalIngressDomains"]]
    for served in (objects, kustomize(overlays / "airline")):
        (model,) = of_kind(served, "InferenceService")
        names = service_of(model)
        hosts = [f"{names.name}-{names.namespace}.{domain}" for domain in domains]
        assert address(served) in hosts
        assert f"{address(served)}:5000" in CLUSTER + PAGE
    assert f"{config['ingressDomain']}`" in CLUSTER


def test_another_gateway_has_nothing_of_envoy(overlays: Path):
    for overlay in ("local", "airline"):
        before = kustomize(overlays / overlay)
        kustomization(overlays / overlay / "template", components=["../../../traefik"])
        objects = kustomize(overlays / overlay)
        assert schema_errors(objects) == []
        assert "envoy" not in yaml.safe_dump_all(objects)
        gone = {name(each) for each in before} - {name(each) for each in objects}
        assert gone <= {"EnvoyProxy sentiment"}
        (target,) = re.findall(r"externalName: (\S+)", yaml.safe_dump_all(objects))
        assert target == "traefik.traefik.svc.cluster.local"
