"""Tell from Kubernetes objects whether a predictor is ready, and if it is not, why and whose fault.

KServe's own condition Ready is no help: its ``observedGeneration`` is that of the Deployment
(kserve#6081), so ``kubectl wait`` on an InferenceService that has been changed a few times never
ends. The objects that are read here are those that KServe derives its conditions from.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from deploy.errors import NETWORK_FAILURE

Object = Mapping[str, Any]
RESTARTS = 2  # of a container, after which its failure counts as final
MISSING_IMAGE = ("not found", "manifest unknown", "InvalidImageName", "couldn't parse image")
# a container waits for one of these reasons if its spec or its image is wrong
OWN_FAILURES = ("CrashLoopBackOff", "CreateContainerError", "RunContainerError")


class Fault(Enum):
    """Whose fault it is that a predictor does not get ready."""

    PREDICTOR = "predictor"
    ENVIRONMENT = "environment"


@dataclass(frozen=True)
class Obstacle:
    """Why a predictor is not ready. A ``final`` one does not go away by waiting."""

    reason: str
    fault: Fault = Fault.PREDICTOR
    final: bool = False


def obstacle(deployment: Object | None, pods: Iterable[Object], replicas: int) -> Obstacle | None:
    """Return what keeps a predictor from having ``replicas`` ready pods; None if it has them."""
    if deployment is None:
        # only KServe's controller can be late here
        reason = (
            "KServe has not made its Deployment yet; if it refuses to, the events that"
            " kubectl describe inferenceservice shows say why"
        )
        return Obstacle(reason, Fault.ENVIRONMENT)
    obstacles = [found for pod in pods if (found := _of_pod(pod))]
    for final in (True, False):
        for each in obstacles:
            if each.final is final:
                return each
    status = deployment.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            text = condition.get("message", condition.get("reason", ""))
            outside = any(each in text for each in ("exceeded quota", "failed calling webhook"))
            fault = Fault.ENVIRONMENT if outside else Fault.PREDICTOR
            return Obstacle(f"the cluster refuses its pods: {text}", fault)
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return Obstacle("its Deployment has just been changed", Fault.ENVIRONMENT)
    wanted = deployment["spec"].get("replicas", 1)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if updated < wanted or status.get("replicas", 0) > updated:
        return Obstacle(f"{updated} of {wanted} pods have its present spec")
    if available < max(replicas, wanted):
        return Obstacle(f"{available} of {max(replicas, wanted)} pods are ready")
    return None


def unrouted(route: Object, shares: Mapping[str, int]) -> str | None:
    """Return why a route does not carry these shares, by Service; None if it does.

    ``shares`` adds up to 100. A route with one Service may give it any weight but 0.
    """
    for rule in route["spec"].get("rules", []):
        weights = {each["name"]: each.get("weight", 1) for each in rule.get("backendRefs", [])}
        total = sum(weights.values()) or 1
        carried = {name: 100 * weight / total for name, weight in weights.items() if weight}
        if carried != {name: share for name, share in shares.items() if share}:
            text = ", ".join(f"{name} {share:.0f}%" for name, share in carried.items())
            return f"the route {route['metadata']['name']} still has {text or 'no Service'}"
    for parent in route.get("status", {}).get("parents", []):
        for condition in parent.get("conditions", []):
            if condition["status"] != "True":
                text = condition.get("message") or condition.get("reason", "")
                return f"the route {route['metadata']['name']}: {condition['type']}: {text}"
            if condition.get("observedGeneration", 0) < route["metadata"]["generation"]:
                return f"the gateway has not taken the route {route['metadata']['name']} yet"
    return None


def _of_pod(pod: Object) -> Obstacle | None:
    status = pod.get("status", {})
    # Kubernetes keeps evicted pods as Failed; the ReplicaSet has replaced them
    if pod["metadata"].get("deletionTimestamp") or status.get("phase") in ("Failed", "Succeeded"):
        return None
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            text = condition.get("message", "").partition(". ")[0]
            return Obstacle(f"no node has room for a pod: {text}", Fault.ENVIRONMENT)
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    for container in containers:
        if found := _of_container(container):
            return found
    return None


def _of_container(container: Object) -> Obstacle | None:
    state, last = container.get("state", {}), container.get("lastState", {})
    waiting = state.get("waiting", {})
    ended = state.get("terminated") or last.get("terminated") or {}
    name, restarts = container["name"], container.get("restartCount", 0)
    # deploy has fetched and checked the model before
    fetches = name == "storage-initializer"
    if waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName"):
        text = " ".join(waiting.get("message", waiting["reason"]).split())
        missing = any(each in text or each == waiting["reason"] for each in MISSING_IMAGE)
        fault = Fault.PREDICTOR if missing else Fault.ENVIRONMENT
        return Obstacle(f"its image cannot be pulled: {text}", fault, final=missing)
    if waiting and not ended:
        reason = waiting.get("reason", "")
        text = waiting.get("message") or "kubectl describe pods shows why"
        own = reason in OWN_FAILURES and not fetches and not NETWORK_FAILURE.search(text)
        fault = Fault.PREDICTOR if own else Fault.ENVIRONMENT
        return Obstacle(f"the container {name} has not started: {reason}: {text}", fault)
    if fetches and "running" in state and not ended:
        return Obstacle("the model is still being fetched", Fault.ENVIRONMENT)
    if container.get("ready") or not ended.get("exitCode"):
        return None
    lines = ended.get("message", "").strip().splitlines()
    text = f": {lines[-1]}" if lines else ""
    cause = f"{ended.get('reason', 'Error')}, exit code {ended['exitCode']}"
    fault = Fault.ENVIRONMENT if fetches or NETWORK_FAILURE.search(text) else Fault.PREDICTOR
    reason = f"the container {name} ended ({cause}){text}"
    return Obstacle(reason, fault, final=fault is Fault.PREDICTOR and restarts >= RESTARTS)
