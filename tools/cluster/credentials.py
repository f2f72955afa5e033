"""Random passwords of a cluster, kept in one file that only its owner reads, and its Secrets."""

import json
import os
import secrets
from pathlib import Path

from components.errors import UserError
from components.io.files import read_json, replacing
from tools.cluster.kube import Object

S3 = "seaweedfs.storage:8333"
NAMESPACE = "sentiment"
GENERATED = (
    *("MLFLOW_TRACKING_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    *("PGPASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY", "ALERTMANAGER_TOKEN"),
)


def ensure(path: Path) -> dict[str, str]:
    """Return the passwords by their names; those that the file lacks are made and added.

    Raises:
        UserError: the file is damaged, or other users may read it.
    """
    known: dict[str, str] = {}
    if path.exists():
        if path.stat().st_mode & 0o077:
            raise UserError(f"{path}: other users may read it: chmod 600 {path}")
        known = read_json(path)
    made = {name: known.get(name) or secrets.token_hex(16) for name in GENERATED}
    if made != known:
        with replacing(path) as partial:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(made, file, indent=2)
    return made


def objects(values: dict[str, str]) -> list[Object]:
    """Return the Secrets that the overlay, SeaweedFS and the monitoring need."""
    keys = {name: values[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    capstone = {
        "MLFLOW_TRACKING_URI": f"http://mlflow.{NAMESPACE}.svc.cluster.local:5000",
        "MLFLOW_TRACKING_USERNAME": "sentiment",
        "MLFLOW_TRACKING_PASSWORD": values["MLFLOW_TRACKING_PASSWORD"],
        "AWS_ENDPOINT_URL": f"http://{S3}",
        **keys,
    }
    mlflow = {
        "PGHOST": "postgres",
        "PGPORT": "5432",
        "PGUSER": "mlflow",
        "PGDATABASE": "mlflow",
        "PGSSLMODE": "disable",
        "PGPASSWORD": values["PGPASSWORD"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": values["MLFLOW_FLASK_SERVER_SECRET_KEY"],
    }
    token = {"token": values["ALERTMANAGER_TOKEN"]}
    # no Slack: alerts are seen in Alertmanager only
    slack = token | {"slack": "https://slack.invalid/"}
    # KServe's storage initializer reads the address from the annotations
    address = {"serving.kserve.io/s3-endpoint": S3, "serving.kserve.io/s3-usehttps": "0"}
    return [
        _secret("capstone-secret", NAMESPACE, capstone, address),
        _secret("mlflow", NAMESPACE, mlflow),
        _secret("seaweedfs", "storage", keys),
        _secret("alertmanager", "monitoring", slack),
        _secret("alertmanager", NAMESPACE, token),
    ]


def _secret(
    name: str, namespace: str, values: dict[str, str], annotations: dict[str, str] | None = None
) -> Object:
    metadata: Object = {"name": name, "namespace": namespace}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}
