"""Apply the project's own manifests: S3, the overlay with MLflow and PostgreSQL, the monitoring."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tools.cluster import credentials
from tools.cluster.kube import Kube, Object, Record, kustomize
from tools.cluster.manifests import OVERLAY
from tools.cluster.steps import PRESENT

MANAGER = "sentiment-deploy"  # that of deployments: see docs/cluster.md
SECRETS = "secrets"


@dataclass(frozen=True)
class Folder:
    """A kustomization of manifests/, and the workloads to wait for in its namespace."""

    name: str
    path: str
    namespace: str
    workloads: tuple[str, ...]


FOLDERS = (
    Folder("s3", "kind/s3", "storage", ("deployment/seaweedfs",)),
    Folder(
        "overlay",
        OVERLAY,
        credentials.NAMESPACE,
        ("statefulset/postgres", "deployment/mlflow"),
    ),
    Folder(
        "monitoring",
        "monitoring/plain",
        "monitoring",
        ("deployment/prometheus", "deployment/alertmanager"),
    ),
)


def ensure_secrets(kube: Kube, manifests: Path, folders: Iterable[Folder], passwords: Path) -> str:
    """Create the namespaces of the folders, and the Secrets that are missing there."""
    spaces = [
        each
        for folder in folders
        for each in kustomize(manifests / folder.path)
        if each["kind"] == "Namespace"
    ]
    names = {each["metadata"]["name"] for each in spaces}
    record = Record(kube)
    record.begin(SECRETS, "", spaces)
    kube.apply(spaces, MANAGER)
    wanted = credentials.objects(credentials.ensure(passwords))
    missing = [
        each
        for each in wanted
        if each["metadata"]["namespace"] in names
        and kube.get("secret", each["metadata"]["name"], each["metadata"]["namespace"]) is None
    ]
    if missing:
        kube.apply(missing)
    record.complete(SECRETS)
    return f"{len(missing)} made" if missing else PRESENT


def apply(kube: Kube, manifests: Path, folder: Folder) -> str:
    """Apply a folder, and wait for its workloads.

    It applies no InferenceService: `python -m deploy` does, and an older copy would undo that.
    """
    objects = [each for each in kustomize(manifests / folder.path) if not _is_kept(each)]
    record = Record(kube)
    record.begin(folder.name, "", [])
    kube.apply(objects, MANAGER)
    kube.wait_rolled_out(folder.namespace, folder.workloads)
    record.complete(folder.name)
    return "applied"


def delete(kube: Kube, manifests: Path) -> list[str]:
    """Delete what was applied, and the namespaces that were made for it; return the names."""
    record = Record(kube)
    made = record.read()
    for folder in reversed([each for each in FOLDERS if each.name in made]):
        objects = kustomize(manifests / folder.path)
        kube.delete(each for each in objects if each["kind"] != "Namespace")
        record.remove(folder.name)
    if SECRETS in made:
        kube.delete_namespaces(made[SECRETS]["namespaces"])
        record.remove(SECRETS)
    return [name for name in made if name == SECRETS or name in {each.name for each in FOLDERS}]


def _is_kept(each: Object) -> bool:
    return each["kind"] in ("Namespace", "InferenceService")
