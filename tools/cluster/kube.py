"""Apply and delete objects in a cluster, and record what was made there."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.errors import UnavailableError, UserError
from deploy.cluster import kubectl

Object = dict[str, Any]
MANAGER = "sentiment-cluster"
RECORD = "sentiment-cluster"  # a ConfigMap in the namespace default
WAIT = "600s"
# a webhook of a component that has just started may refuse for some seconds
PAUSES = (2.0, 5.0, 10.0, 20.0)
_UNKNOWN_KIND = "the server doesn't have a resource type"


@dataclass(frozen=True)
class Kube:
    """A cluster by a context of kubectl."""

    context: str
    pauses: Sequence[float] = PAUSES

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return kubectl(f"--context={self.context}", *arguments, stdin=stdin)

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """Return an object; None if there is none, or if the cluster does not know its kind."""
        where = [f"--namespace={namespace}"] if namespace else []
        flags = ("--ignore-not-found", "--output=json")
        try:
            found = self.kubectl("get", kind, name, *where, *flags)
        except UserError as error:
            if _UNKNOWN_KIND in str(error):
                return None
            raise
        return dict(json.loads(found)) if found.strip() else None

    def version(self) -> str:
        """Return the version of Kubernetes, as v1.36.1."""
        server = json.loads(self.kubectl("version", "--output=json"))["serverVersion"]
        return str(server["gitVersion"])

    def apply(self, objects: Iterable[Object], manager: str = MANAGER) -> None:
        """Apply objects, again after each pause while the cluster refuses one."""
        flags = ("--server-side", "--force-conflicts", f"--field-manager={manager}")
        text = _listed(objects)
        for pause in self.pauses:
            try:
                self.kubectl("apply", *flags, "--filename=-", stdin=text)
                return
            except (UnavailableError, UserError):
                time.sleep(pause)
        self.kubectl("apply", *flags, "--filename=-", stdin=text)

    def delete(self, objects: Iterable[Object]) -> None:
        """Delete objects and wait for their end; those that are gone already are no error."""
        flags = ("--ignore-not-found", "--timeout=300s")
        if objects := [*objects]:
            self.kubectl("delete", *flags, "--filename=-", stdin=_listed(objects))

    def delete_namespaces(self, names: Iterable[str]) -> None:
        self.delete(namespaces(names))

    def wait_rolled_out(self, namespace: str, workloads: Iterable[str]) -> None:
        """Wait until Deployments and StatefulSets, as KIND/NAME, have their present pods ready.

        Raises:
            UserError: one has not in ten minutes.
        """
        for workload in workloads:
            where = f"--namespace={namespace}"
            try:
                self.kubectl("rollout", "status", workload, where, f"--timeout={WAIT}")
            except UserError as error:
                look = f"kubectl --context={self.context} get pods,events {where}"
                raise UserError(f"{workload} is not ready ({error}); {look} shows why") from error


@dataclass(frozen=True)
class Record:
    """What `cluster-up` has made in a cluster, by component, so that only that is deleted."""

    kube: Kube

    def read(self) -> dict[str, Object]:
        """Return for each component its version, its new namespaces, and if it is complete."""
        found = self.kube.get("configmap", RECORD, "default") or {}
        data: dict[str, str] = found.get("data", {})
        return {name: json.loads(text) for name, text in data.items()}

    def begin(self, name: str, version: str, objects: Iterable[Object]) -> None:
        """Record that a component is being made, with the namespaces that are not there yet."""
        made = set(self.read().get(name, {}).get("namespaces", []))
        for each in objects:
            namespace = each["metadata"]["name"] if each["kind"] == "Namespace" else None
            if namespace and self.kube.get("namespace", namespace) is None:
                made.add(namespace)
        self._write(name, {"version": version, "namespaces": sorted(made), "complete": False})

    def complete(self, name: str) -> None:
        self._write(name, self.read()[name] | {"complete": True})

    def remove(self, name: str) -> None:
        patch = json.dumps({"data": {name: None}})
        self.kube.kubectl("patch", "configmap", RECORD, "--namespace=default", f"--patch={patch}")

    def _write(self, name: str, entry: Object) -> None:
        metadata = {"name": RECORD, "namespace": "default"}
        data = {key: json.dumps(value) for key, value in (self.read() | {name: entry}).items()}
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        self.kube.apply([document])


def kustomize(folder: Path) -> list[Object]:
    """Return the objects of a folder."""
    return load(kubectl("kustomize", str(folder)))


def load(text: str) -> list[Object]:
    """Return the objects of a text in YAML, of which some charts have four megabytes."""
    return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]


def _listed(objects: Iterable[Object]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [*objects]})


def namespaces(names: Iterable[str]) -> list[Object]:
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]


def current_context() -> str:
    """Return the context that kubectl uses by itself.

    Raises:
        UserError: it has none.
    """
    return kubectl("config", "current-context").strip()
