"""Reach MLflow, S3 and Prometheus of a cluster from this machine, with its own credentials."""

import base64
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from components.errors import UserError
from tools.cluster.forward import Target, forwarding
from tools.cluster.kube import Kube

SECRET = "capstone-secret"  # noqa: S105 - its name
PROMETHEUS = Target("monitoring", "prometheus", 9090)
_SERVICE = re.compile(
    r"(?P<service>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)(\.svc(\.cluster\.local)?)?"
)


@contextmanager
def environment(kube: Kube, namespace: str, prometheus: bool = True) -> Iterator[None]:
    """Set the variables that deploy reads, for this process, while the block runs.

    A variable that is set already stays. The others come from the Secret of the overlay; an
    address inside the cluster is reached through a forward. Training needs no ``prometheus``.

    Raises:
        UserError: the cluster has no such Secret or Service.
    """
    before = dict(os.environ)
    with ExitStack() as stack:
        found: dict[str, str] = {}
        if not {"MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL"} <= before.keys():
            found = _secret(kube, namespace)
        if prometheus and "PROMETHEUS_URL" not in before:
            found["PROMETHEUS_URL"] = f"http://{PROMETHEUS.service}.{PROMETHEUS.namespace}:9090"
        for name, value in found.items():
            if name not in before and (target := _inside(value)):
                value = stack.enter_context(forwarding(kube.context, target)).address
                value = value.replace("127.0.0.1", "localhost")  # the host that MLflow allows
            os.environ.setdefault(name, value)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def _secret(kube: Kube, namespace: str) -> dict[str, str]:
    found = kube.get("secret", SECRET, namespace)
    if found is None:
        raise UserError(
            f"no secret {SECRET} in the namespace {namespace}: make cluster-up, or set"
            " MLFLOW_TRACKING_URI and AWS_ENDPOINT_URL with their credentials"
        )
    return {name: base64.b64decode(value).decode() for name, value in found["data"].items()}


def _inside(value: str) -> Target | None:
    """Return the Service that an address names, or None for an address outside the cluster."""
    address = urlsplit(value)
    match = _SERVICE.fullmatch(address.hostname or "") if address.scheme == "http" else None
    return Target(match["namespace"], match["service"], address.port or 80) if match else None
