"""What Flux is given: objects that fit its definitions, and no more power than it needs."""

from pathlib import Path

import pytest
import yaml

from deploy.gitops import KUSTOMIZATION
from tests.cluster import base_service
from tests.conftest import REPO
from tests.manifests import Object, find, kustomize, render, schema_errors
from tests.policies import change

FOLDER = REPO / "manifests" / "gitops"
FLUX = ("Kustomization", "sentiment")
CLUSTER_WIDE = {"Namespace", "ClusterStorageContainer", "StorageClass"}


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    return kustomize(FOLDER)


def test_objects_fit_their_definitions(objects):
    assert schema_errors(objects) == []


@pytest.mark.parametrize(
    ("what", "path", "value"),
    [
        (FLUX, "spec/sourceRef/kin", "GitRepository"),
        (FLUX, "spec/retryIntervall", "30s"),
        (FLUX, "spec/prune", "no"),
        (("GitRepository", "sentiment"), "spec/ref/brunch", "main"),
        (("GitRepository", "sentiment"), "spec/interval", 30),
    ],
)
def test_mistakes_are_found(what, path, value):
    objects = kustomize(FOLDER)
    change(find(objects, *what), path, value)
    assert schema_errors(objects)


def test_deploy_finds_the_kustomization(objects):
    flux = find(objects, *FLUX)
    group = flux["apiVersion"].partition("/")[0]
    assert f"kustomization.{group}" == KUSTOMIZATION
    service = base_service()
    assert flux["metadata"] == {"name": service.name, "namespace": service.namespace}
    assert (REPO / flux["spec"]["path"] / "model.yaml").exists()


def test_flux_applies_nothing_outside_the_namespace(objects, tmp_path):
    """kustomize renders what Flux would apply, with the patches of the Kustomization."""
    spec = find(objects, *FLUX)["spec"]
    inside = {"resources": [str(Path("..") / "overlay")], "patches": spec["patches"]}
    (tmp_path / "overlay").mkdir()
    documents = yaml.safe_dump_all(render("production"))
    (tmp_path / "overlay/all.yaml").write_text(documents)
    (tmp_path / "overlay/kustomization.yaml").write_text("resources: [all.yaml]\n")
    (tmp_path / "flux").mkdir()
    (tmp_path / "flux/kustomization.yaml").write_text(yaml.safe_dump(inside))
    applied = kustomize(tmp_path / "flux")
    kinds = {each["kind"] for each in render("production")} - {each["kind"] for each in applied}
    assert kinds == CLUSTER_WIDE
    assert {each["metadata"]["namespace"] for each in applied} == {"sentiment"}
    assert len(applied) == len(render("production")) - len(CLUSTER_WIDE)


def test_ci_may_change_nothing_but_the_lease(objects):
    rules = find(objects, "Role", "watcher")["rules"]
    lease = base_service().manager
    for rule in rules:
        if rule["resources"] == ["leases"]:
            assert rule["verbs"] == ["create"] or rule["resourceNames"] == [lease]
            continue
        expected = {"create"} if rule["resources"] == ["pods/portforward"] else {"get", "list"}
        assert set(rule["verbs"]) <= expected
    binding = find(objects, "RoleBinding", "flux")
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "flux", "namespace": "sentiment"}
    ]
    assert find(objects, *FLUX)["spec"]["serviceAccountName"] == "flux"
