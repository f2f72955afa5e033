"""Readiness as a real KServe and a real gateway showed it; tests/recordings says how."""

import json
from collections.abc import Iterator

import pytest

from deploy.readiness import Fault, Obstacle, obstacle, unrouted
from tests.conftest import REPO

RECORDINGS = REPO / "tests/recordings/kserve"
DEPLOYMENT = {
    "metadata": {"generation": 1},
    "spec": {"replicas": 1},
    "status": {
        "observedGeneration": 1,
        "replicas": 1,
        "updatedReplicas": 1,
        "availableReplicas": 1,
    },
}


def replay(name: str) -> Iterator[tuple[float, dict]]:
    """Yield the seconds of each event, and the objects by kind and name after it."""
    objects: dict[tuple[str, str], dict] = {}
    _, *lines = (RECORDINGS / f"{name}.jsonl").read_text().splitlines()
    for line in lines:
        event = json.loads(line)
        found = event["object"]
        key = found["kind"], found["metadata"]["name"]
        if event["event"] == "DELETED":
            objects.pop(key, None)
        else:
            objects[key] = found
        yield event["at"], objects


def obstacles(name: str, predictor: str, replicas: int) -> list[tuple[float, Obstacle | None]]:
    """Return what kept a predictor from being ready, with the seconds of each change."""
    found: list[tuple[float, Obstacle | None]] = []
    deployment = f"sentiment-{predictor}-predictor"
    for at, objects in replay(name):
        pods = [
            each
            for (kind, _), each in objects.items()
            if kind == "Pod" and each["metadata"]["labels"]["app"] == f"isvc.{deployment}"
        ]
        now = obstacle(objects.get(("Deployment", deployment)), pods, replicas)
        if not found or found[-1][1] != now:
            found.append((at, now))
    return found


def test_one_pod_is_not_two():
    """KServe starts one pod, and the autoscaler the second; kubectl rollout status said ready."""
    two, one = (obstacles("canary-promoted-from-100", "v1", count) for count in (2, 1))
    assert next(at for at, each in two if each is None) == 19.42
    assert "1 of 2 pods are ready" in {each.reason for _, each in two if each}
    assert next(at for at, each in one if each is None) == 12.99


def test_a_canary_judged_unready_was_ready():
    """kubectl wait never ended here, as observedGeneration was the Deployment's."""
    assert None in {each for _, each in obstacles("canary-judged-unready", "v2", 1)}


def test_no_room_is_the_clusters_fault():
    found = [each for _, each in obstacles("canary-pod-pending", "v2", 2) if each]
    (pending,) = {each for each in found if "room" in each.reason}
    assert (
        pending.reason == "no node has room for a pod: 0/1 nodes are available: 1 Insufficient cpu"
    )
    assert pending.fault is Fault.ENVIRONMENT
    assert not pending.final


def test_a_failed_download_is_named_and_not_the_versions_fault():
    """Deploy has fetched the same model a minute before."""
    objects = next(found for at, found in replay("first-deployment") if at == 17.13)
    (pod,) = (each for (kind, _), each in objects.items() if kind == "Pod")
    del pod["metadata"]["deletionTimestamp"]  # the recording begins at its end
    missing = obstacle({"metadata": {"generation": 1}}, [pod], 1)
    assert missing is not None
    assert "Failed to fetch model. No model found in unset." in missing.reason
    assert missing.fault is Fault.ENVIRONMENT
    assert not missing.final


@pytest.mark.parametrize(
    "line",
    [
        # the last lines of KServe's storage initializer, in botocore's and Python's words
        "botocore.exceptions.EndpointConnectionError: Could not connect to the endpoint URL",
        "botocore.exceptions.ConnectTimeoutError: Connect timeout on endpoint URL",
        "[Errno 111] Connection refused",
        "[Errno -3] Temporary failure in name resolution",
        "An error occurred (503) when calling the HeadBucket operation",
        "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
        "An error occurred (403) when calling the HeadBucket operation: Forbidden",
    ],
)
def test_a_failed_download_never_rolls_back(line: str):
    ended = {"exitCode": 1, "reason": "Error", "message": f"Traceback\n{line}\n"}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}}
    pod = fetching(2, state=waiting, lastState={"terminated": ended})
    found = obstacle(DEPLOYMENT, [pod], 1)
    assert found == Obstacle(
        f"the container storage-initializer ended (Error, exit code 1): {line}", Fault.ENVIRONMENT
    )


def test_a_slow_download_is_named():
    found = obstacle(DEPLOYMENT, [fetching(state={"running": {}})], 1)
    assert found == Obstacle("the model is still being fetched", Fault.ENVIRONMENT)


def container(restarts: int = 0, **state: dict) -> dict:
    status = {"name": "kserve-container", "ready": False, "restartCount": restarts} | state
    return {"metadata": {}, "status": {"containerStatuses": [status]}}


def fetching(restarts: int = 0, **state: dict) -> dict:
    """Return a pod whose model is not fetched yet; its other container waits meanwhile."""
    pod = container(state={"waiting": {"reason": "PodInitializing"}})
    status = {"name": "storage-initializer", "ready": False, "restartCount": restarts} | state
    pod["status"]["initContainerStatuses"] = [status]
    return pod


@pytest.mark.parametrize(
    ("waiting", "text", "fault"),
    [
        # the kubelet's words
        (
            {
                "reason": "CreateContainerConfigError",
                "message": 'secret "capstone-secret" not found',
            },
            'CreateContainerConfigError: secret "capstone-secret" not found',
            Fault.ENVIRONMENT,
        ),
        (
            {"reason": "ContainerCreating"},
            "ContainerCreating: kubectl describe pods shows why",
            Fault.ENVIRONMENT,
        ),
        (
            {"reason": "CreateContainerError", "message": "context deadline exceeded"},
            "CreateContainerError: context deadline exceeded",
            Fault.ENVIRONMENT,
        ),
        (
            {"reason": "RunContainerError", "message": 'exec: "pithon": not found in $PATH'},
            'RunContainerError: exec: "pithon": not found in $PATH',
            Fault.PREDICTOR,
        ),
    ],
)
def test_a_container_that_has_not_started_has_its_fault(waiting: dict, text: str, fault: Fault):
    found = obstacle(DEPLOYMENT, [container(state={"waiting": waiting})], 1)
    assert found == Obstacle(f"the container kserve-container has not started: {text}", fault)


def test_a_refusal_of_kserve_is_looked_for_in_its_events():
    found = obstacle(None, [], 1)
    assert found is not None
    assert "kubectl describe inferenceservice" in found.reason


@pytest.mark.parametrize(
    ("pod", "fault", "final"),
    [
        (
            container(state={"waiting": {"reason": "ImagePullBackOff", "message": "x: not found"}}),
            Fault.PREDICTOR,
            True,
        ),
        (
            container(state={"waiting": {"reason": "ErrImagePull", "message": "i/o timeout"}}),
            Fault.ENVIRONMENT,
            False,
        ),
        (
            container(2, state={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            Fault.PREDICTOR,
            True,
        ),
        (
            container(1, lastState={"terminated": {"exitCode": 1, "message": "a\nb"}}),
            Fault.PREDICTOR,
            False,
        ),
        (
            container(9, lastState={"terminated": {"exitCode": 1, "message": "no such host"}}),
            Fault.ENVIRONMENT,
            False,
        ),
    ],
)
def test_a_failed_container_has_its_fault(pod: dict, fault: Fault, final: bool):
    found = obstacle({"metadata": {"generation": 1}}, [pod], 1)
    assert found is not None
    assert (found.fault, found.final) == (fault, final)


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        # the words of Kubernetes' admission of quotas and of Pod Security
        (
            'pods "sentiment-v2-predictor-1" is forbidden: exceeded quota: compute, requested:'
            " requests.cpu=500m, used: requests.cpu=8, limited: requests.cpu=8",
            Fault.ENVIRONMENT,
        ),
        (
            'pods "sentiment-v2-predictor-1" is forbidden: violates PodSecurity "restricted"',
            Fault.PREDICTOR,
        ),
        (
            "Internal error occurred: failed calling webhook"
            ' "inferenceservice.kserve-webhook-server.pod-mutator": failed to call webhook: Post'
            ' "https://x.kserve.svc:443/mutate-pods": dial tcp 10.0.0.1:443: connection refused',
            Fault.ENVIRONMENT,
        ),
        ('admission webhook "images" denied the request: it is not signed', Fault.PREDICTOR),
    ],
)
def test_pods_that_are_refused_have_their_fault(message: str, fault: Fault):
    condition = {"type": "ReplicaFailure", "status": "True", "message": message}
    deployment = {"metadata": {"generation": 1}, "status": {"conditions": [condition]}}
    found = obstacle(deployment, [], 1)
    assert found == Obstacle(f"the cluster refuses its pods: {message}", fault)


def test_a_deleted_pod_does_not_count():
    pod = container(9, state={"terminated": {"exitCode": 1}})
    pod["metadata"]["deletionTimestamp"] = "2026-11-28T17:46:07Z"
    assert obstacle(DEPLOYMENT, [pod], 1) is None


def test_an_evicted_pod_does_not_count():
    """Kubernetes keeps it, without a deletionTimestamp."""
    ended = {"exitCode": 137, "reason": "ContainerStatusUnknown"}
    pod = container(state={"terminated": ended})
    pod["status"] |= {"phase": "Failed", "reason": "Evicted"}
    assert obstacle(DEPLOYMENT, [pod], 1) is None


def carried(name: str, shares: dict[str, int]) -> list[tuple[float, str | None]]:
    services = {f"sentiment-{key}-predictor": share for key, share in shares.items()}
    found: list[tuple[float, str | None]] = []
    for at, objects in replay(name):
        route = objects.get(("HTTPRoute", "sentiment"))
        if route and (not found or found[-1][1] != unrouted(route, services)):
            found.append((at, unrouted(route, services)))
    return found


@pytest.mark.parametrize(
    ("shares", "since"),
    [({"v2": 50, "v1": 50}, 13.8), ({"v2": 0, "v1": 100}, 44.98), ({"v1": 100}, 44.98)],
)
def test_a_share_counts_when_the_gateway_has_it(shares: dict[str, int], since: float):
    found = carried("canary-promoted-from-100", shares)
    assert next(at for at, reason in found if reason is None) == since
    reasons = [reason or "" for _, reason in found]
    assert any("still has sentiment-v2-predictor" in reason for reason in reasons)


def test_a_missing_backend_is_not_routed():
    """The old Service was deleted while the route still named it: 55 requests were lost."""
    reasons = [
        reason or "" for _, reason in carried("canary-promoted-with-gap", {"v1": 50, "v2": 50})
    ]
    assert any("ResolvedRefs" in reason and "not found" in reason for reason in reasons)
