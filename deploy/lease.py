"""One deployment at a time: a Lease in the cluster, renewed while we live."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from components.errors import UserError
from components.io.registry import user
from deploy.cluster import BRIEFLY, MANAGER, Cluster

SECONDS = 15  # after which a holder that was killed counts as gone
_KIND = "lease.coordination.k8s.io"


@contextmanager
def held(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """Hold the lease until the block ends; yield a function that raises when it was lost.

    Raises:
        UserError: somebody else holds it.
    """
    document = _taken(cluster.get(_KIND, MANAGER))
    _put(cluster, document)
    renewed = [time.monotonic()]
    done = threading.Event()

    def check() -> None:
        if time.monotonic() - renewed[0] > SECONDS:
            raise UserError(f"the lease {MANAGER} could not be renewed; what was done so far stays")

    def renew() -> None:
        while not done.wait(SECONDS / 3):
            now = time.monotonic()
            try:
                current = cluster.get(_KIND, MANAGER)
                if current is None or _holder(current) != _holder(document):
                    return
                _put(cluster, _renewed(current))
                renewed[0] = now
            except UserError:
                continue  # check() tells when that has gone on for too long

    renewer = threading.Thread(target=renew, daemon=True)
    renewer.start()
    try:
        yield check
    finally:
        done.set()
        renewer.join()
        with suppress(UserError):  # it expires by itself
            current = cluster.get(_KIND, MANAGER)
            if current is not None and _holder(current) == _holder(document):
                cluster.kubectl("delete", _KIND, MANAGER, "--ignore-not-found", BRIEFLY)


def _taken(present: dict[str, Any] | None) -> dict[str, Any]:
    """Return the lease as ours: a new one, or the one that its holder has let expire."""
    if present is None:
        present = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": MANAGER},
            "spec": {},
        }
    elif (until := _until(present["spec"])) > datetime.now(UTC):
        raise UserError(
            f"{_holder(present)} is deploying; if that process was killed, this can go on after"
            f" {until:%H:%M:%S} UTC"
        )
    holder = f"{user()}@{socket.gethostname()}:{os.getpid()}"
    present["spec"] |= {"holderIdentity": holder, "leaseDurationSeconds": SECONDS}
    return _renewed(present)


def _put(cluster: Cluster, document: dict[str, Any]) -> None:
    """Write the lease; one that somebody else has written since it was read is refused."""
    verb = "replace" if "resourceVersion" in document["metadata"] else "create"
    cluster.kubectl(verb, "--filename=-", BRIEFLY, given=json.dumps(document))


def _renewed(document: dict[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return document | {"spec": document["spec"] | {"renewTime": now}}


def _until(spec: dict[str, Any]) -> datetime:
    renewed = datetime.fromisoformat(spec["renewTime"])
    return renewed + timedelta(seconds=spec["leaseDurationSeconds"])


def _holder(document: dict[str, Any]) -> str:
    return str(document["spec"]["holderIdentity"])
