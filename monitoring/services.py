"""Read which services are watched, and what a retraining of each needs: services.yaml.

The receiver and the exporter read the same file, manifests/monitoring/receiver/services.yaml.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.errors import UserError
from monitoring.settings import NAME, NAMESPACE

LABELS = ("namespace", "service")  # of alerts and metrics: the service that they are about
KEYS = {"namespace", "service", "model", "retrain"}
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # a name of Kubernetes


@dataclass(frozen=True)
class WatchedService:
    """An InferenceService: its registered model in MLflow, and the arguments that retrain it."""

    namespace: str
    name: str
    model: str
    retrain: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, str]:
        """The values of ``LABELS``."""
        return self.namespace, self.name

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


DEFAULT = (WatchedService(NAMESPACE, NAME, NAME),)


def read_services(path: Path | None) -> tuple[WatchedService, ...]:
    """Return the services of a file; without a file, the one that this repository deploys.

    Raises:
        UserError: the file cannot be read, or an entry is wrong or repeated.
    """
    if path is None:
        return DEFAULT
    try:
        entries = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"--services {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise UserError(f"--services {path}: not YAML: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise UserError(f"--services {path}: not a list of services")
    services = [_service(f"--services {path}, entry {n}", e) for n, e in enumerate(entries, 1)]
    for service in services:
        if [each.labels for each in services].count(service.labels) > 1:
            raise UserError(f"--services {path}: {service} is there twice")
    return tuple(services)


def _service(place: str, entry: Any) -> WatchedService:
    if not isinstance(entry, Mapping):
        raise UserError(f"{place}: not a mapping with namespace and service")
    if unknown := entry.keys() - KEYS:
        raise UserError(f"{place}: unknown key {min(map(str, unknown))}; known: {sorted(KEYS)}")
    for key in ("namespace", "service"):
        name = entry.get(key)
        if not isinstance(name, str) or not _LABEL.fullmatch(name):
            raise UserError(f"{place}: {key} must be a name of Kubernetes, not {name!r}")
    model, retrain = entry.get("model", entry["service"]), entry.get("retrain", [])
    if not isinstance(model, str) or not model or "'" in model:
        raise UserError(f"{place}: model must be the name of a registered model, not {model!r}")
    if not isinstance(retrain, list) or not all(isinstance(each, str) for each in retrain):
        raise UserError(f"{place}: retrain must be a list of arguments")
    return WatchedService(entry["namespace"], entry["service"], model, tuple(retrain))
