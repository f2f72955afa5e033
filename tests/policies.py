"""Policies for rendered overlays; each is a function that yields what breaks it."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.manifests import Object, name

_IMAGE = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}")
_SECRET = re.compile(r"PASSWORD$|SECRET|TOKEN|ACCESS_KEY|CREDENTIAL", re.IGNORECASE)
_LITERAL = re.compile(
    r"AKIA[0-9A-Z]{16}|//[^/\s:@'\"]+:[^/\s:@'\"]+@|-----BEGIN|eyJ[\w-]{10,}\.eyJ"
)
# Argo's executor, in the pods of a run, calls the Kubernetes API
_API_CLIENTS = {"sentiment-pipeline"}
_CLUSTER_SCOPED = ("Namespace", "ClusterStorageContainer", "StorageClass")


@dataclass(frozen=True)
class Workload:
    name: str
    labels: dict[str, str]
    pod: Object
    replicas: int

    @property
    def containers(self) -> list[Object]:
        return [*self.pod.get("initContainers", []), *self.pod["containers"]]


def workloads(objects: list[Object]) -> list[Workload]:
    result = []
    for thing in objects:
        spec = thing.get("spec", {})
        if thing["kind"] == "InferenceService":
            service_labels = {
                "serving.kserve.io/inferenceservice": thing["metadata"]["name"],
                "component": "predictor",
            }
            stable = spec["predictor"]
            result.append(_predictor(name(thing), stable, service_labels))
            for canary in spec.get("canary", []):
                # KServe merges the canary's fields into the stable predictor's
                result.append(_predictor("a canary", stable | canary["predictor"], service_labels))
        elif "template" in spec and "containers" in spec["template"].get("spec", {}):
            template = spec["template"]
            labels = template["metadata"]["labels"]
            result.append(Workload(name(thing), labels, template["spec"], spec.get("replicas", 1)))
    return result


def _predictor(where: str, predictor: Object, labels: dict[str, str]) -> Workload:
    labels = labels | predictor.get("labels", {})
    return Workload(where, labels, predictor, predictor.get("minReplicas", 1))


def of_kind(objects: list[Object], *kinds: str) -> Iterator[Object]:
    return (thing for thing in objects if thing["kind"] in kinds)


def images_have_digests(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        for container in workload.containers:
            where, image = f"{workload.name}, {container['name']}", container.get("image", "")
            if not _IMAGE.fullmatch(image):
                yield f"{where}: image {image!r} is not named by digest"


def no_secret_is_literal(objects: list[Object]) -> Iterator[str]:
    for thing in objects:
        if thing["kind"] == "Secret":
            yield f"{name(thing)}: a secret's values do not belong in manifests"
        for match in _LITERAL.finditer(json.dumps(thing)):
            yield f"{name(thing)}: {match[0]} looks like a secret"
    for workload in workloads(objects):
        for container in workload.containers:
            for variable in container.get("env", []):
                value = variable.get("value", "")
                if _SECRET.search(variable["name"]) and value and not value.startswith("/"):
                    yield f"{workload.name}: {variable['name']} has a literal value"


def resources_are_bounded(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        for container in workload.containers:
            for kind in ("requests", "limits"):
                for resource in ("cpu", "memory"):
                    if not container.get("resources", {}).get(kind, {}).get(resource):
                        yield f"{workload.name}, {container['name']}: no {resource} in {kind}"


def pods_are_restricted(objects: list[Object]) -> Iterator[str]:
    """Require Kubernetes' level restricted, and a read-only root file system."""
    for workload in workloads(objects):
        pod = workload.pod.get("securityContext", {})
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if workload.pod.get(key):
                yield f"{workload.name}: {key}"
        for volume in workload.pod.get("volumes", []):
            if "hostPath" in volume:
                yield f"{workload.name}: a volume of the node's disk"
        for container in workload.containers:
            own = container.get("securityContext", {})
            checks = {
                "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
                "privileged": not own.get("privileged"),
                "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
                "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
                "runAsNonRoot": own.get("runAsNonRoot", pod.get("runAsNonRoot")) is True,
                "runAsUser": own.get("runAsUser", pod.get("runAsUser", 0)) > 0,
                "seccompProfile": own.get("seccompProfile", pod.get("seccompProfile", {}))
                == {"type": "RuntimeDefault"},
            }
            for key, holds in checks.items():
                if not holds:
                    yield f"{workload.name}, {container['name']}: {key}"


def containers_are_probed(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        for container in workload.pod["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe not in container:
                    yield f"{workload.name}, {container['name']}: no {probe}"


def servers_drain(objects: list[Object]) -> Iterator[str]:
    """An HTTP server waits for the proxies, and then has time to finish its requests."""
    for workload in workloads(objects):
        for container in workload.pod["containers"]:
            if not any(port["name"] == "http" for port in container.get("ports", [])):
                continue
            pre_stop = container.get("lifecycle", {}).get("preStop", {})
            wait = pre_stop.get("sleep", {}).get("seconds", 0)
            left = workload.pod.get("terminationGracePeriodSeconds", 30) - wait
            if wait < 5 or left < 40:
                yield f"{workload.name}: it waits {wait} s and then has {left} s"


def api_tokens_are_few(objects: list[Object]) -> Iterator[str]:
    for account in of_kind(objects, "ServiceAccount"):
        mounted = account.get("automountServiceAccountToken", True)
        if mounted is not (account["metadata"]["name"] in _API_CLIENTS):
            yield f"{name(account)}: automountServiceAccountToken is {mounted}"
    accounts = {account["metadata"]["name"] for account in of_kind(objects, "ServiceAccount")}
    for workload in workloads(objects):
        if workload.pod.get("automountServiceAccountToken") is not False:
            yield f"{workload.name}: it has a token of Kubernetes"
        if (own := workload.pod.get("serviceAccountName")) not in accounts - {"default"}:
            yield f"{workload.name}: service account {own} is not defined here"


def roles_have_no_wildcards(objects: list[Object]) -> Iterator[str]:
    if wide := [name(thing) for thing in of_kind(objects, "ClusterRole", "ClusterRoleBinding")]:
        yield f"{', '.join(wide)}: for the whole cluster"
    for role in of_kind(objects, "Role"):
        for rule in role["rules"]:
            if "*" in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]:
                yield f"{name(role)}: *"
            if "secrets" in rule["resources"] and not rule.get("resourceNames"):
                yield f"{name(role)}: all secrets"


def namespaces_deny_by_default(objects: list[Object]) -> Iterator[str]:
    deny_all = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for namespace in of_kind(objects, "Namespace"):
        own = namespace["metadata"]["name"]
        if not any(
            thing["spec"] == deny_all and thing["metadata"]["namespace"] == own
            for thing in of_kind(objects, "NetworkPolicy")
        ):
            yield f"{name(namespace)}: no policy that denies all"
        for mode in ("enforce", "audit", "warn"):
            label = f"pod-security.kubernetes.io/{mode}"
            if namespace["metadata"].get("labels", {}).get(label) != "restricted":
                yield f"{name(namespace)}: {label} is not restricted"
    namespaces = {thing["metadata"]["name"] for thing in of_kind(objects, "Namespace")}
    for thing in objects:
        own = thing["metadata"].get("namespace")
        if thing["kind"] not in _CLUSTER_SCOPED and own not in namespaces:
            yield f"{name(thing)}: namespace {own}"


def selectors_match_pods(objects: list[Object]) -> Iterator[str]:
    """Find selectors that match nothing, about which Kubernetes is silent."""
    pods = [workload.labels.items() for workload in workloads(objects)]
    for thing in of_kind(objects, "Service", "NetworkPolicy", "PodDisruptionBudget"):
        spec = thing["spec"]
        if spec.get("type") == "ExternalName":
            continue
        selector = spec.get("podSelector", spec.get("selector", {}))
        labels = selector if thing["kind"] == "Service" else selector.get("matchLabels", {})
        if not any(labels.items() <= pod for pod in pods):
            yield f"{name(thing)}: it selects no pod"


def predictor_is_redundant(objects: list[Object]) -> Iterator[str]:
    budgets = [thing["spec"] for thing in of_kind(objects, "PodDisruptionBudget")]
    for service in of_kind(objects, "InferenceService"):
        predictor = service["spec"]["predictor"]
        (stable, *_) = workloads([service])
        if stable.replicas < 2:
            yield f"{name(service)}: minReplicas is {stable.replicas}"
        if "maxReplicas" not in predictor or not predictor.get("scaleMetric"):
            yield f"{name(service)}: it does not scale"
        spread = [each["topologyKey"] for each in predictor.get("topologySpreadConstraints", [])]
        if "topology.kubernetes.io/zone" not in spread:
            yield f"{name(service)}: not spread over zones"
        if not any(b["selector"]["matchLabels"].items() <= stable.labels.items() for b in budgets):
            yield f"{name(service)}: no PodDisruptionBudget"


def predictor_names_fit_versions(objects: list[Object]) -> Iterator[str]:
    """Apply the rules of KServe's webhook for spec.canary, and ours for names."""
    for service in of_kind(objects, "InferenceService"):
        mode = service["metadata"]["annotations"].get("serving.kserve.io/deploymentMode")
        if mode != "Standard":
            yield f"{name(service)}: deploymentMode is {mode}"
        canaries = service["spec"].get("canary", [])
        predictors = [service["spec"]["predictor"], *(each["predictor"] for each in canaries)]
        for predictor in predictors:
            yield from _version(name(service), predictor)
        names = [predictor["name"] for predictor in predictors]
        if len(set(names)) < len(names):
            yield f"{name(service)}: predictors of the same name, {', '.join(names)}"
        if not 0 <= sum(each["trafficPercent"] for each in canaries) <= 100:
            yield f"{name(service)}: more than all traffic"
        for predictor in predictors[1:]:
            for key in ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling"):
                if key in predictor:
                    yield f"{name(service)}: the canary has {key}"


def _version(where: str, predictor: Object) -> Iterator[str]:
    (container,) = predictor["containers"]
    if container["name"] != "kserve-container":
        yield f"{where}: the container must be named kserve-container"
    env = {each["name"]: each.get("value") for each in container.get("env", [])}
    if predictor["name"] == "v0" and env == {"STORAGE_URI": "s3://models/unset"}:
        return  # no version is deployed yet; deploy recognises this
    expected = rf"v{env.get('MODEL_VERSION')}-[0-9a-f]{{8}}"
    label = predictor.get("labels", {}).get("version")
    if not re.fullmatch(expected, predictor["name"]) or label != predictor["name"]:
        yield f"{where}: predictor {predictor['name']} has model version {env.get('MODEL_VERSION')}"
    if not re.fullmatch(r"s3://[a-z0-9.-]+/.+", str(env.get("STORAGE_URI"))):
        yield f"{where}: STORAGE_URI is {env.get('STORAGE_URI')}"


Policy = Callable[[list[Object]], Iterator[str]]
ALL: tuple[Policy, ...] = (
    images_have_digests,
    no_secret_is_literal,
    resources_are_bounded,
    pods_are_restricted,
    containers_are_probed,
    servers_drain,
    api_tokens_are_few,
    roles_have_no_wildcards,
    namespaces_deny_by_default,
    selectors_match_pods,
    predictor_is_redundant,
    predictor_names_fit_versions,
)


def broken(objects: list[Object], policies: tuple[Policy, ...] = ALL) -> list[str]:
    """Return what breaks the policies."""
    return [violation for policy in policies for violation in policy(objects)]


def change(thing: Object, path: str, value: Any) -> None:
    """Set the value at a path (``~`` for a slash in a key), or remove it (``...``)."""
    parts = [part.replace("~", "/") for part in path.split("/")]
    *parents, last = [int(part) if part.isdigit() else part for part in parts]
    inner: Any = thing
    for part in parents:
        inner = inner[part]
    if value is ...:
        del inner[last]
    elif last == "-":
        inner.append(value)
    else:
        inner[last] = value
