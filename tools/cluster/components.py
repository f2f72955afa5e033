"""Install what the overlay needs of a cluster: cert-manager, a gateway, KServe and metrics-server.

A chart is rendered and applied, without a release of Helm's: so a step that was interrupted is
simply done again.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from components.errors import UserError
from tools.cluster.kube import Kube, Object, Record, kustomize, load, namespaces
from tools.cluster.steps import PRESENT
from tools.cluster.versions import FOLDER, ROOT, Versions
from tools.commands import output

CLASS = "envoy"  # the GatewayClass that the overlays name


@dataclass(frozen=True)
class Component:
    """What is installed in a namespace, and how an installation by others is recognised.

    ``marks`` are objects, as KIND/NAME, which are all there where the component is. ``charts`` are
    installed in their order. A component of our own kustomization is that of ``manifests/NAME``.
    """

    name: str
    namespace: str
    marks: tuple[str, ...]
    workloads: tuple[str, ...]
    charts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


KUBEFLOW = Component(
    "kubeflow",
    "kubeflow",
    marks=("crd/workflows.argoproj.io", "deployment/ml-pipeline"),
    # without the others a run is accepted, and waits
    workloads=tuple(
        f"deployment/{each}"
        for each in (
            *("ml-pipeline", "ml-pipeline-persistenceagent"),
            *("workflow-controller", "metadata-grpc-deployment"),
        )
    ),
)
COMPONENTS = (
    Component(
        "cert-manager",
        "cert-manager",
        marks=("crd/certificates.cert-manager.io", "deployment/cert-manager"),
        workloads=tuple(
            f"deployment/cert-manager{each}" for each in ("", "-cainjector", "-webhook")
        ),
        charts=("cert-manager",),
    ),
    Component(
        "gateway",
        "envoy-gateway-system",
        # with definitions of others the chart would overwrite them
        marks=("crd/gateways.gateway.networking.k8s.io", f"gatewayclass/{CLASS}"),
        workloads=("deployment/envoy-gateway",),
        charts=("envoy-gateway",),
        files=("gatewayclass.yaml",),
    ),
    Component(
        "kserve",
        "kserve",
        marks=(
            "crd/inferenceservices.serving.kserve.io",
            "deployment/kserve-controller-manager",
        ),
        workloads=("deployment/kserve-controller-manager",),
        charts=("kserve-crd", "kserve"),
    ),
    Component(
        "metrics-server",
        "kube-system",
        marks=("apiservice/v1beta1.metrics.k8s.io",),
        workloads=("deployment/metrics-server",),
        charts=("metrics-server",),
    ),
)


def ensure(kube: Kube, component: Component, versions: Versions) -> str:
    """Install a component, unless it is there.

    Raises:
        UserError: a part of it is there, which `cluster-up` has not made.
    """
    record, version = Record(kube), _version(component, versions)
    made = record.read().get(component.name)
    if made is None:
        found = {mark: _has(kube, mark, component.namespace) for mark in component.marks}
        if all(found.values()):
            return f"{PRESENT}, and left alone: it was made by others"
        if any(found.values()):
            there, missing = (
                [m for m, has in found.items() if has is each] for each in (True, False)
            )
            raise UserError(
                f"{', '.join(there)} is there, and {', '.join(missing)} is not in the namespace"
                f" {component.namespace}: remove that installation, or give HAVE={component.name}"
                " if it works"
            )
    elif made["complete"] and made["version"] == version:
        return f"{PRESENT}, {version}"
    record.begin(component.name, version, namespaces([component.namespace]))
    kube.apply(namespaces([component.namespace]))
    for objects in _parts(component, versions, kube):
        kube.apply(objects)
        _wait_established(kube, objects)
    kube.wait_rolled_out(component.namespace, component.workloads)
    record.complete(component.name)
    return f"installed, {version}"


def delete(kube: Kube, component: Component, versions: Versions) -> None:
    """Delete a component that `cluster-up` has made."""
    record = Record(kube)
    created = record.read()[component.name]["namespaces"]
    for objects in reversed([*_parts(component, versions, kube)]):
        kube.delete(each for each in objects if each["kind"] != "Namespace")
    kube.delete_namespaces(created)
    record.remove(component.name)


def render(name: str, namespace: str, versions: Versions, kubernetes: str) -> list[Object]:
    """Return the objects of a chart with our values, for a version of Kubernetes."""
    chart = versions.charts[name]
    command = ["helm", "template", name, chart.chart, f"--version={chart.version}"]
    command += [f"--repo={chart.repo}"] if chart.repo else []
    command += [f"--namespace={namespace}", "--include-crds", f"--kube-version={kubernetes}"]
    values = FOLDER / f"values/{name}.yaml"
    command += [f"--values={values}"] if values.exists() else []
    return load(output(*command))


def _parts(component: Component, versions: Versions, kube: Kube) -> Iterable[list[Object]]:
    """Yield the objects that are applied together, each before those that need it."""
    for chart in component.charts:
        yield render(chart, component.namespace, versions, kube.version())
    if not component.charts:
        yield kustomize(ROOT / "manifests" / component.name)
    for file in component.files:
        yield load((FOLDER / file).read_text())


def _version(component: Component, versions: Versions) -> str:
    if component.charts:
        return versions.charts[component.charts[-1]].version
    # the file names a commit
    text = (ROOT / "manifests" / component.name / "kustomization.yaml").read_text()
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _has(kube: Kube, mark: str, namespace: str) -> bool:
    kind, _, name = mark.partition("/")
    return kube.get(kind, name, namespace) is not None


def _wait_established(kube: Kube, objects: Iterable[Object]) -> None:
    kinds = [o["metadata"]["name"] for o in objects if o["kind"] == "CustomResourceDefinition"]
    if kinds:
        names = [f"crd/{kind}" for kind in kinds]
        kube.kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
