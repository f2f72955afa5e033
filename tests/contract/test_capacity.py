"""The nodes of manifests/aws hold what the manifests request, at the most replicas."""

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


def predictors(objects: list[Object]) -> list[Resources]:
    """Return the requests of the most predictors: before its promotion a canary has as many."""
    spec = find(objects, "InferenceService", "sentiment")["spec"]["predictor"]
    return 2 * spec["maxReplicas"] * [requested(spec)]


def fits(objects: list[Object], node_type: str, nodes: int) -> bool:
    """Tell whether nodes hold an overlay, the monitoring, a task and what others request."""
    monitoring = [*kustomize(REPO / "manifests/monitoring/plain")]
    monitoring += kustomize(REPO / "manifests/monitoring/receiver")
    wanted = [OTHERS, task(), *predictors(objects), *pods(objects), *pods(monitoring)]
    needs = (sum(each) for each in zip(*wanted, strict=True))
    capacities = allocatable(node_type)
    return all(need <= nodes * each for need, each in zip(needs, capacities, strict=True))


def parameters() -> tuple[str, int]:
    template = cfn_yaml.load(str(stacks.TEMPLATES / "cluster.yaml"))
    return tuple(template["Parameters"][name]["Default"] for name in ("NodeType", "Nodes"))


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_nodes_hold_all_replicas_a_canary_and_a_task(overlay: str):
    assert fits(render(overlay), *parameters())


def test_more_replicas_or_smaller_nodes_do_not_fit():
    objects = render("production")
    assert not fits(objects, "t3.large", 2)
    spec = find(objects, "InferenceService", "sentiment")["spec"]["predictor"]
    spec["maxReplicas"] += 1
    assert not fits(objects, *parameters())
