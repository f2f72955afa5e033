"""The nodes of manifests/aws hold what the manifests request, at the most replicas."""

import math
import shutil
from decimal import Decimal

import pytest
import yaml
from cfnlint.decode import cfn_yaml
from kubernetes.utils.quantity import parse_quantity

from deploy.aws import stacks
from tests.conftest import REPO
from tests.manifests import Object, find, kustomize, render

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl: make packages")
MIB = 2**20
# processors, memory, pods: as EC2 and EKS document these types
TYPES = {"t3.large": (2, 8192 * MIB, 35), "t3.xlarge": (4, 16384 * MIB, 58)}
# for pods that manifests/ does not have (docs/aws.md): EKS's own, KServe, Envoy, Kubeflow
OTHERS = (Decimal(2), Decimal(6144 * MIB))
Resources = tuple[Decimal, Decimal]


def allocatable(node_type: str) -> Resources:
    """Return the processors and bytes that EKS's Linux leaves to the pods of a node.

    It reserves 6% of the first processor, 1% of the second, 0.5% of the third and fourth, and
    11 MiB a pod and 255 MiB (github.com/awslabs/amazon-eks-ami, nodeadm); the kubelet keeps
    100 MiB free.
    """
    processors, memory, pods = TYPES[node_type]
    shares = ("0.06", "0.01", "0.005", "0.005")[:processors]
    reserved = (11 * pods + 255 + 100) * MIB
    return processors - sum(map(Decimal, shares)), Decimal(memory - reserved)


def requested(pod: Object) -> Resources:
    """Return what a pod requests: all its containers, or its largest init container."""

    def amounts(kind: str) -> list[Resources]:
        requests = [each["resources"]["requests"] for each in pod.get(kind, [])]
        return [(parse_quantity(r["cpu"]), parse_quantity(r["memory"])) for r in requests]

    together = [sum(each) for each in zip(*amounts("containers"), strict=True)]
    largest = [max(each) for each in zip(*amounts("initContainers"), strict=True)]
    cpu, memory = (max(pair) for pair in zip(together, largest or together, strict=True))
    return cpu, memory


def pods(objects: list[Object]) -> list[Resources]:
    """Return the requests of all pods of Deployments, with one more where an update adds one."""
    found = []
    for thing in objects:
        if thing["kind"] in ("Deployment", "StatefulSet"):
            spec = thing["spec"]
            rolling = spec.get("strategy", {}).get("type") == "RollingUpdate"
            found += (spec["replicas"] + rolling) * [requested(spec["template"]["spec"])]
    return found


def task() -> Resources:
    """Return the request of the largest task of a run."""
    text = (REPO / "pipelines/compiled/training.yaml").read_text()
    executors = next(yaml.safe_load_all(text))["deploymentSpec"]["executors"].values()
    requests = [each["container"]["resources"] for each in executors if "container" in each]
    return (
        max(parse_quantity(each["resourceCpuRequest"]) for each in requests),
        max(parse_quantity(each["resourceMemoryRequest"]) for each in requests),
    )


def fits(
    objects: list[Object], node_type: str, nodes: int, versions: int, tasks: list[Resources]
) -> bool:
    """Tell whether each node holds its share of an overlay, the monitoring and others, and tasks.

    Predictors of each of ``versions`` are spread over the nodes, at their most replicas: before its
    promotion a canary has as many. Whole tasks are on one node; the rest is taken as halved.
    """
    monitoring = [*kustomize(REPO / "manifests/monitoring/plain")]
    monitoring += kustomize(REPO / "manifests/monitoring/receiver")
    spec = find(objects, "InferenceService", "sentiment")["spec"]["predictor"]
    predictors = versions * math.ceil(spec["maxReplicas"] / nodes) * [requested(spec)]
    shared = [sum(e) for e in zip(OTHERS, *pods(objects), *pods(monitoring), strict=True)]
    wanted = [tuple(each / nodes for each in shared), *predictors, *tasks]
    needs = (sum(each) for each in zip(*wanted, strict=True))
    return all(need <= each for need, each in zip(needs, allocatable(node_type), strict=True))


def parameters() -> tuple[str, int]:
    template = cfn_yaml.load(str(stacks.TEMPLATES / "cluster.yaml"))
    return tuple(template["Parameters"][name]["Default"] for name in ("NodeType", "Nodes"))


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_nodes_hold_all_replicas_and_a_canary_or_a_task(overlay: str):
    objects = render(overlay)
    assert fits(objects, *parameters(), versions=2, tasks=[])
    assert fits(objects, *parameters(), versions=1, tasks=[task()])
    assert not fits(objects, *parameters(), versions=2, tasks=[task()])  # docs/aws.md says so


def test_more_replicas_or_smaller_nodes_do_not_fit():
    objects = render("production")
    assert not fits(objects, "t3.large", 2, versions=2, tasks=[])
    spec = find(objects, "InferenceService", "sentiment")["spec"]["predictor"]
    spec["maxReplicas"] += 1
    assert not fits(objects, *parameters(), versions=2, tasks=[])
