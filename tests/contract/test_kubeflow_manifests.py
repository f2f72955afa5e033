"""A run of Kubeflow finds in our namespace what it needs, and can reach and write it."""

from typing import Any

import pytest
import yaml

from pipelines import tasks
from tests.conftest import REPO
from tests.manifests import OVERLAYS, Object, find, render

EVERY = pytest.mark.parametrize("overlay", OVERLAYS)
CLOUD = pytest.mark.parametrize("overlay", ["staging", "production"])
INSTALLATION = REPO / "manifests/kubeflow"


def launcher(objects: list[Object]) -> dict[str, Any]:
    return find(objects, "ConfigMap", "kfp-launcher")["data"]


def repository(objects: list[Object]) -> dict[str, Any]:
    """Return where Argo stores the logs of this namespace's pods."""
    config = find(objects, "ConfigMap", "artifact-repositories")
    default = config["metadata"]["annotations"]["workflows.argoproj.io/default-artifact-repository"]
    return yaml.safe_load(config["data"][default])


@EVERY
def test_runs_need_no_object_of_kubeflows_profile_controller(overlay: str):
    """By default Argo mounts the secret mlpipeline-minio-artifact, which nothing here creates."""
    objects = render(overlay)
    assert "mlpipeline-minio-artifact" not in yaml.safe_dump_all(objects)
    assert launcher(objects)["defaultPipelineRoot"].startswith("s3://")
    assert repository(objects)["archiveLogs"]
    labels = find(objects, "Namespace", "sentiment")["metadata"]["labels"]
    assert "pipelines.kubeflow.org/enabled" not in labels


@CLOUD
def test_cloud_runs_write_to_the_data_bucket_with_their_role(overlay: str):
    objects = render(overlay)
    template = REPO / f"manifests/overlays/{overlay}/template/account.yaml"
    account = yaml.safe_load(template.read_text())["data"]
    root = launcher(objects)["defaultPipelineRoot"]
    assert root == f"s3://{account['data-bucket']}/pipelines"
    assert "providers" not in launcher(objects)
    s3 = repository(objects)["s3"]
    assert s3["bucket"] == account["data-bucket"]
    assert s3["region"] == account["region"]
    assert s3["useSDKCreds"] is True
    assert s3["keyFormat"].startswith("pipelines/")
    identities = (REPO / "manifests/aws/identities.yaml").read_text()
    role = identities.partition("\n  PipelineRole:\n")[2].partition("\n  MlflowRole:\n")[0]
    assert "arn:${AWS::Partition}:s3:::${Bucket}/pipelines/*" in role


def test_local_runs_write_to_s3_with_the_keys_of_the_secret():
    objects = render("local")
    s3 = yaml.safe_load(launcher(objects)["providers"])["s3"]["default"]
    assert s3["credentials"]["fromEnv"] is False
    reference = s3["credentials"]["secretRef"]
    assert reference["secretName"] == tasks.SECRET
    assert {reference["accessKeyKey"], reference["secretKeyKey"]} <= set(tasks.SECRET_KEYS)
    logs = repository(objects)["s3"]
    assert logs["endpoint"] == s3["endpoint"]
    assert logs["insecure"] is s3["disableSSL"] is True
    for key in (logs["accessKeySecret"], logs["secretKeySecret"]):
        assert key["name"] == tasks.SECRET
        assert key["key"] in tasks.SECRET_KEYS
    host, port = s3["endpoint"].split(":")
    assert (host.split(".")[1], int(port)) in reachable(objects)
    assert readable_secrets(objects) == {tasks.SECRET}


@CLOUD
def test_cloud_runs_read_no_secret(overlay: str):
    assert readable_secrets(render(overlay)) == set()


def readable_secrets(objects: list[Object]) -> set[str]:
    """Return the secrets that the account of runs may read."""
    rules = find(objects, "Role", "pipeline")["rules"]
    return {name for r in rules if "secrets" in r["resources"] for name in r["resourceNames"]}


def reachable(objects: list[Object]) -> set[tuple[str, int]]:
    """Return the namespaces and ports that the pods of a run may reach."""
    found = set()
    for policy in (each for each in objects if each["kind"] == "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        chosen = not selector or "pipeline/runid" in str(selector)
        for rule in policy["spec"].get("egress", []) if chosen else []:
            for peer in rule["to"]:
                labels = peer.get("namespaceSelector", {}).get("matchLabels", {})
                namespace = labels.get("kubernetes.io/metadata.name")
                found |= {(namespace, port["port"]) for port in rule["ports"] if namespace}
    return found


@EVERY
def test_runs_reach_kubeflow_and_not_its_artifact_store(overlay: str):
    ports = {port for namespace, port in reachable(render(overlay)) if namespace == "kubeflow"}
    assert ports == {8080, 8887, 8888}


def test_the_installation_is_pinned_and_needs_no_istio():
    document = yaml.safe_load((INSTALLATION / "kustomization.yaml").read_text())
    (upstream,) = [each for each in document["resources"] if each.startswith("https://")]
    assert len(upstream.rpartition("?ref=")[2]) == 40
    assert "multi-user" in upstream
    dropped = {
        patch["target"].get("group") or patch["target"]["name"] for patch in document["patches"]
    }
    assert {"networking.istio.io", "security.istio.io", "metacontroller.k8s.io"} <= dropped
    assert all("$patch: delete" in patch["patch"] for patch in document["patches"])
    policy = yaml.safe_load((INSTALLATION / "network.yaml").read_text())
    assert policy["spec"]["podSelector"] == {"matchLabels": {"app": "ml-pipeline"}}
