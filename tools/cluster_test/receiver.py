"""Find the receiver of alerts in a cluster, and send it an alert as Alertmanager does."""

import base64
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from components.errors import UnavailableError, UserError
from monitoring.services import WatchedService, read_services
from monitoring.settings import RECEIVER_JOB, Ports
from pipelines.reasons import ERROR
from tools.cluster.forward import Target, forwarding
from tools.cluster.kube import Kube

NAME = RECEIVER_JOB  # of its Deployment and its Service
SECRET = "alertmanager"  # noqa: S105 - its name
REPEATED = ("known", "cooling down")  # decisions of a receiver that started a run not long ago
SECONDS = 30
_PREFIX = re.compile(r"s3://.+/")  # the test adds an object beneath it


class SkippedError(Exception):
    """The cluster lacks what a part of the test needs; the message says what."""


def find(kube: Kube, namespace: str, name: str) -> WatchedService:
    """Return the entry of a service in the file of the receiver in its namespace.

    Raises:
        SkippedError: there is no receiver, or it starts no pipeline for this service.
    """
    deployment = kube.get("deployment", NAME, namespace)
    if deployment is None:
        raise SkippedError(f"no Deployment {NAME} in the namespace {namespace}: see docs/watch.md")
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    file = next(each["configMap"]["name"] for each in volumes if each["name"] == "services")
    config = kube.get("configmap", file, namespace) or {"data": {}}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "services.yaml"
        path.write_text(config["data"].get(path.name, ""))
        services = read_services(path)
    for service in services:
        if service.labels == (namespace, name) and _PREFIX.fullmatch(
            parameter(service, "captured")
        ):
            return service
    raise SkippedError(f"{file} has no captured=s3://…/ for {namespace}/{name}: see docs/watch.md")


def parameter(service: WatchedService, name: str) -> str:
    """Return a parameter of the pipeline from the arguments that retrain a service, or ""."""
    start = f"--param={name}="
    return next((e.removeprefix(start) for e in service.retrain if e.startswith(start)), "")


def send_alert(kube: Kube, service: WatchedService) -> None:
    """Tell the receiver that the requests of a service have drifted, so that it starts a run.

    Raises:
        SkippedError: it has started one not long ago, and waits.
        UserError: it refuses the alert, or decides otherwise.
        UnavailableError: it cannot be reached.
    """
    namespace = service.namespace
    secret = kube.get("secret", SECRET, namespace)
    if secret is None:
        raise UserError(f"no secret {SECRET} in the namespace {namespace}, with the token")
    token = base64.b64decode(secret["data"]["token"]).decode().strip()
    kube.wait_rolled_out(namespace, [f"deployment/{NAME}"])
    target = Target(namespace, NAME, Ports().receiver)
    with forwarding(kube.context, target) as forward, requests.Session() as session:
        session.trust_env = False  # no proxy
        headers = {"authorization": f"Bearer {token}"}
        url = f"{forward.address}/alerts"
        try:
            answer = session.post(url, json=_webhook(service), headers=headers, timeout=SECONDS)
        except requests.RequestException as error:
            raise UnavailableError(f"the receiver does not answer: {error}") from error
    if answer.status_code != requests.codes.ok:
        raise UserError(f"the receiver answers {answer.status_code}: {answer.text.strip()}")
    decision = answer.text.strip().rpartition(": ")[2]
    if decision in REPEATED:
        raise SkippedError(
            f"the receiver answers {decision!r}: it starts one run a day (--cool-down), and keeps"
            f" the last start of {service} on its volume"
        )
    if decision != "started":
        raise UserError(f"the receiver answers {decision!r}, and starts no run for {service}")


def last_error(kube: Kube, namespace: str) -> str:
    """Return the last error in the log of the receiver, which is that of the command it started."""
    command = ("logs", f"deployment/{NAME}", f"--namespace={namespace}", "--tail=100")
    errors = ERROR.findall(kube.kubectl(*command))
    return errors[-1] if errors else f"kubectl {' '.join(command)} has no error"


def _webhook(service: WatchedService) -> dict[str, Any]:
    """Return what Alertmanager sends of the alert SentimentDrift; see manifests/monitoring."""
    group = {"namespace": service.namespace, "service": service.name}
    labels = {"alertname": "SentimentDrift", "severity": "ticket", "retrain": "true", **group}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": "sent by cluster-test"},
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "cluster-test",
    }
    return {
        "version": "4",
        "status": "firing",
        "receiver": "retraining",
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": alert["annotations"],
        "alerts": [alert],
    }
