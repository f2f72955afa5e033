"""Stand-ins for docker, kind, helm and kubectl, as strict as the real ones were read to be.

They refuse flags and orders of arguments that the real ones refuse, and keep what they make in the
folder STAND_IN. What they print and refuse was read in kind v0.32.0 (pkg/cmd/kind, pkg/cluster),
Helm v3.21.4 (cmd/helm), and seen of docker and kubectl. kubectl renders with the real one, REAL.

Where the file ``kill`` has a text, the program whose command line holds it kills its parent first:
so a test interrupts a command at that moment.
"""

import json
import os
import signal
import sys
from pathlib import Path

FOLDER = Path(os.environ.get("STAND_IN", "."))
# Helm renders the charts' own objects, read with the real Helm from the charts' sources:
# those that others depend on or wait for
CHARTS = {
    "oci://quay.io/jetstack/charts/cert-manager": [
        ("CustomResourceDefinition", "certificates.cert-manager.io"),
        *(("Deployment", f"cert-manager{each}") for each in ("", "-cainjector", "-webhook")),
    ],
    "oci://docker.io/envoyproxy/gateway-helm": [
        ("CustomResourceDefinition", "gatewayclasses.gateway.networking.k8s.io"),
        ("CustomResourceDefinition", "gateways.gateway.networking.k8s.io"),
        ("CustomResourceDefinition", "envoyproxies.gateway.envoyproxy.io"),
        ("Deployment", "envoy-gateway"),
    ],
    "oci://ghcr.io/kserve/charts/kserve-crd": [
        ("CustomResourceDefinition", "inferenceservices.serving.kserve.io"),
        ("CustomResourceDefinition", "clusterstoragecontainers.serving.kserve.io"),
    ],
    "oci://ghcr.io/kserve/charts/kserve-resources": [
        ("Certificate", "serving-cert"),
        ("Deployment", "kserve-controller-manager"),
    ],
    "metrics-server": [
        ("Deployment", "metrics-server"),
        ("APIService", "v1beta1.metrics.k8s.io"),
    ],
}
CUSTOM = {  # the resource of each custom kind
    "Certificate": "certificates.cert-manager.io",
    "ClusterStorageContainer": "clusterstoragecontainers.serving.kserve.io",
    "EnvoyProxy": "envoyproxies.gateway.envoyproxy.io",
    "Gateway": "gateways.gateway.networking.k8s.io",
    "GatewayClass": "gatewayclasses.gateway.networking.k8s.io",
    "InferenceService": "inferenceservices.serving.kserve.io",
}
CLUSTER_SCOPED = {
    *("APIService", "ClusterStorageContainer", "CustomResourceDefinition", "GatewayClass"),
    *("Namespace", "ClusterRole", "ClusterRoleBinding"),
}
KINDS = {"crd": "CustomResourceDefinition"}
DIGEST = "sha256:" + "a" * 64


class RefusedError(Exception):
    """What the real program prints when it refuses."""


def split(arguments: list[str], known: set[str]) -> tuple[dict[str, str], list[str]]:
    """Return flags, each as --name=value or alone, and the other words."""
    flags: dict[str, str] = {}
    words = []
    for each in arguments:
        name, _, value = each.partition("=")
        if not each.startswith("--"):
            words.append(each)
        elif name not in known:
            raise RefusedError(f"unknown flag: {name}")
        else:
            flags[name] = value
    return flags, words


class Store(dict):
    """A JSON file of the folder."""

    def __init__(self, name: str) -> None:
        self.path = FOLDER / name
        super().__init__(json.loads(self.path.read_text()) if self.path.exists() else {})

    def save(self) -> None:
        self.path.write_text(json.dumps(self, indent=1))


def docker(arguments: list[str]) -> str:
    containers, images = Store("containers"), Store("images")
    verb, rest = arguments[0], arguments[1:]
    if verb == "info":
        return "Server Version: 28"
    if verb == "container":
        if rest[0] != "inspect" or rest[1] != "--format":
            raise RefusedError("docker container: unknown command")
        if rest[3] not in containers:
            raise RefusedError(f"Error response from daemon: No such container: {rest[3]}")
        found = containers[rest[3]]
        networks = "Networks" in rest[2]
        return json.dumps(found["networks"]) if networks else str(found["running"]).lower()
    if verb == "run":
        flags = {"--detach", "--restart", "--publish", "--name"}
        first = next(i for i, word in enumerate(rest) if not word.startswith("--"))
        given, _ = split(rest[:first], flags)  # what follows the image is the container's command
        if rest[first + 1 :] or given["--name"] in containers:
            raise RefusedError(f"Conflict. The container name {given['--name']} is already in use")
        containers[given["--name"]] = {"running": True, "networks": {"bridge": {}}}
    elif verb == "start":
        containers[rest[0]]["running"] = True
    elif verb == "exec":
        options = rest[: rest[0].startswith("--")]  # what follows the name is the command
        split(options, {"--interactive"})
        name, *command = rest[len(options) :]
        if name not in containers or not containers[name]["running"]:
            raise RefusedError(f"Error response from daemon: No such container: {name}")
        if command[0] == "cp":
            containers[name]["hosts"] = {command[2]: sys.stdin.read()}
    elif verb == "network":
        connect, network, name = rest
        if connect != "connect" or network not in Store("networks"):
            raise RefusedError(f"Error response from daemon: network {network} not found")
        if network in containers[name]["networks"]:
            raise RefusedError(f"endpoint with name {name} already exists in network {network}")
        containers[name]["networks"][network] = {}
    elif verb == "rm":
        _, (name,) = split(rest, {"--force", "--volumes"})
        containers.pop(name)
    elif verb == "pull":
        _, (reference,) = split(rest, {"--quiet"})
        if reference.partition("@")[0].startswith("localhost:") and (
            reference not in images and "@" not in reference
        ):
            raise RefusedError(f"Error response from daemon: manifest for {reference} not found")
    elif verb == "image":
        if "RepoDigests" in rest[2]:
            return json.dumps([f"{rest[3].rpartition(':')[0]}@{DIGEST}"])
        return "100000000"
    elif verb == "build":
        valued = dict(zip(rest[::2], rest[1::2], strict=False))
        split(rest[4:-1], {"--build-arg"})
        if not Path(valued["--file"]).exists() or rest[-1] != ".":
            raise RefusedError("ERROR: failed to read dockerfile")
        images[valued["--tag"]] = True
    elif verb == "tag":
        if rest[0] not in images:
            raise RefusedError(f"Error response from daemon: No such image: {rest[0]}")
        images[rest[1]] = True
    elif verb == "push":
        registry = containers.get("sentiment-registry", {})
        if rest[0] not in images or not (
            registry.get("running") or Store("outside").get("registry")
        ):
            raise RefusedError(f"connection to {rest[0]} failed")
        images.save()
        return f"{rest[0].rpartition(':')[2]}: digest: {DIGEST} size: 1"
    else:
        raise RefusedError(f"docker: unknown command: docker {verb}")
    containers.save()
    images.save()
    return ""


def kind(arguments: list[str]) -> str:
    clusters, containers, networks = Store("clusters"), Store("containers"), Store("networks")
    verb, noun, *rest = arguments
    if (verb, noun) == ("get", "clusters"):
        if not clusters:
            print("No kind clusters found.", file=sys.stderr)
        return "\n".join(clusters)
    if (verb, noun) == ("create", "cluster"):
        known = {"--name", "--config", "--image", "--retain", "--wait", "--kubeconfig"}
        flags, words = split(rest, known)
        name = flags["--name"]
        if words or not Path(flags["--config"]).exists():
            raise RefusedError("ERROR: unknown argument, or no such file")
        if name in clusters:
            raise RefusedError(
                f'ERROR: failed to create cluster: node(s) already exist for "{name}"'
            )
        clusters[name] = {"image": flags["--image"]}
        containers[f"{name}-control-plane"] = {"running": True, "networks": {"kind": {}}}
        networks["kind"] = {}
    elif (verb, noun) == ("delete", "cluster"):
        flags, _ = split(rest, {"--name", "--kubeconfig"})
        clusters.pop(flags["--name"], None)
        containers.pop(f"{flags['--name']}-control-plane", None)
        Store("objects").path.unlink(missing_ok=True)
    else:
        raise RefusedError(f"ERROR: unknown command {verb!r} for kind")
    for each in (clusters, containers, networks):
        each.save()
    return ""


def helm(arguments: list[str]) -> str:
    known = {"--version", "--repo", "--namespace", "--include-crds", "--kube-version", "--values"}
    flags, (verb, _, chart) = split(arguments, known)
    if verb != "template" or chart not in CHARTS:
        raise RefusedError(f"Error: {chart}: not found")
    # a Helm that Go built takes Kubernetes for v1.20, which cert-manager's chart refuses
    if "--kube-version" not in flags:
        raise RefusedError("Error: chart requires kubeVersion: >= 1.22.0-0")
    if chart.startswith("oci://") is ("--repo" in flags):
        raise RefusedError("Error: a chart of a registry has no --repo, another one needs it")
    if "--values" in flags and not Path(flags["--values"]).exists():
        raise RefusedError(f"Error: open {flags['--values']}: no such file or directory")
    documents = []
    for name, each in CHARTS[chart]:
        metadata = {"name": each}
        if name not in CLUSTER_SCOPED:
            metadata["namespace"] = flags["--namespace"]
        documents.append(json.dumps({"apiVersion": "v1", "kind": name, "metadata": metadata}))
    return "\n---\n".join(documents)


def key(kind: str, name: str, namespace: str) -> str:
    return f"{kind}/{'' if kind in CLUSTER_SCOPED else namespace}/{name}"


def kubectl(arguments: list[str]) -> str:
    if arguments[0] == "kustomize":
        os.execv(os.environ["REAL"], [os.environ["REAL"], *arguments])  # noqa: S606
    context, *rest = arguments
    if arguments == ["config", "current-context"]:
        return "theirs"
    if context not in ("--context=kind-sentiment", "--context=theirs"):
        raise RefusedError(f'error: context "{context}" does not exist')
    known = {"--namespace", "--ignore-not-found", "--output", "--server-side", "--force-conflicts"}
    known |= {"--field-manager", "--filename", "--timeout", "--for", "--patch"}
    flags, (verb, *words) = split(rest, known)
    objects, namespace = Store("objects"), flags.get("--namespace", "default")
    if verb == "version":
        return json.dumps({"serverVersion": {"gitVersion": "v1.36.1"}})
    if verb == "get":
        kinds = {each.partition("/")[0].lower(): each.partition("/")[0] for each in objects}
        kind = KINDS.get(words[0]) or kinds.get(words[0], words[0])
        if words[0] == "gatewayclass" and not has_custom(objects, "GatewayClass"):
            raise RefusedError('error: the server doesn\'t have a resource type "gatewayclass"')
        return json.dumps(found) if (found := objects.get(key(kind, words[1], namespace))) else ""
    if verb in ("apply", "delete"):
        items = json.load(sys.stdin)["items"]
        for each in items:
            change(objects, verb, each)
    elif verb == "patch":
        found = objects[key("ConfigMap", words[1], namespace)]
        data = found["data"] | json.loads(flags["--patch"])["data"]
        found["data"] = {name: value for name, value in data.items() if value is not None}
    elif verb in ("rollout", "wait"):
        for each in words[1:] if verb == "rollout" else words:
            kind, _, name = each.partition("/")
            kind = {"deployment": "Deployment", "statefulset": "StatefulSet"} | KINDS
            if key(kind[each.partition("/")[0]], name, namespace) not in objects:
                raise RefusedError(f'Error from server (NotFound): "{name}" not found')
    else:
        raise RefusedError(f"error: unknown command {verb!r}")
    objects.save()
    return ""


def has_custom(objects: Store, kind: str) -> bool:
    return key("CustomResourceDefinition", CUSTOM[kind], "") in objects


def change(objects: Store, verb: str, each: dict) -> None:
    kind, metadata = each["kind"], each["metadata"]
    namespace = metadata.get("namespace", "default")
    if kind in CUSTOM and not has_custom(objects, kind):
        raise RefusedError(f'error: no matches for kind "{kind}"; ensure CRDs are installed first')
    if verb == "delete":
        objects.pop(key(kind, metadata["name"], namespace), None)
        if kind == "Namespace":
            for name in [name for name in objects if name.split("/")[1] == metadata["name"]]:
                objects.pop(name)
        return
    existing = ("default", "kube-system", *(n.split("/")[2] for n in objects if n[:5] == "Names"))
    if kind not in CLUSTER_SCOPED and namespace not in existing:
        raise RefusedError(f'Error from server (NotFound): namespaces "{namespace}" not found')
    objects[key(kind, metadata["name"], namespace)] = each


def main() -> int:
    program, arguments = Path(sys.argv[1]).name, sys.argv[2:]
    line = f"{program} {' '.join(arguments)}"
    kill = FOLDER / "kill"
    if kill.exists() and kill.read_text() in line:
        kill.unlink()
        os.kill(os.getppid(), signal.SIGKILL)
        return 1
    with (FOLDER / "calls").open("a") as file:
        file.write(f"{line}\n")
    programs = {"docker": docker, "kind": kind, "helm": helm, "kubectl": kubectl}
    try:
        if text := programs[program](arguments):
            print(text)
    except RefusedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
