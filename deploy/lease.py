"""A Lease in the cluster, renewed by a thread, so that one deployment runs at a time.

Whether another holder is alive is told by whether it renews the lease while this process looks:
the clocks of two machines may differ, so the time in the lease is for people only.
"""

import json
import logging
import math
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from components.errors import UnavailableError, UserError
from components.io.registry import user
from deploy.cluster import Cluster
from deploy.errors import retry

SECONDS = 15  # without a renewal, until another process may take the lease
POLL_SECONDS = 1.0
KIND = "lease.coordination.k8s.io"

log = logging.getLogger("deploy")


@contextmanager
def hold(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """Hold the lease until the block ends; yield a function that raises once the lease is lost.

    Raises:
        UserError: another process holds it.
        UnavailableError: the cluster does not answer.
    """
    once = replace(cluster, pauses=())
    # containers may share a hostname and a process id
    holder = f"{user()}@{socket.gethostname()}:{os.getpid()}-{secrets.token_hex(4)}"
    retry(lambda: acquire(once, holder), cluster.pauses)
    renewed_at = time.monotonic()
    done = threading.Event()

    def require_lease() -> None:
        if time.monotonic() - renewed_at > SECONDS:
            name = cluster.service.manager
            raise UnavailableError(
                f"the lease {name} was lost: another deployment has it, or it was not renewed for"
                f" {SECONDS} s; what was done so far stays"
            )

    def keep_renewing() -> None:
        nonlocal renewed_at
        while not done.wait(SECONDS / 3):
            now = time.monotonic()
            try:
                lease = read(once)
                if lease is None or _holder(lease) != holder:
                    renewed_at = -math.inf  # lost, however short ago it was renewed
                    return
                write(once, _renewed(lease, holder))
                renewed_at = now
            except (UnavailableError, UserError):
                continue  # require_lease() fails when this lasts

    thread = threading.Thread(target=keep_renewing, daemon=True)
    thread.start()
    try:
        yield require_lease
    finally:
        done.set()
        thread.join()
        with suppress(UnavailableError, UserError):  # the lease expires by itself
            lease = read(once)
            if lease is not None and _holder(lease) == holder:
                once.kubectl("delete", KIND, cluster.service.manager, "--ignore-not-found")


def acquire(cluster: Cluster, holder: str) -> None:
    """Create the lease, or take over one that its holder does not renew any more.

    A lease of this holder is renewed: the response to an earlier attempt was lost. A lease without
    a holder was released.

    Raises:
        UserError: another process has it.
        UnavailableError: the cluster does not answer.
    """
    lease = read(cluster)
    if lease is not None and _holder(lease) not in ("", holder):
        lease = _unrenewed(cluster, lease)
    try:
        write(cluster, _renewed(lease or _new(cluster), holder))
    except UserError as error:
        if re.search(r"\((AlreadyExists|Conflict)\)", str(error)):
            raise UserError(
                "another deployment started at the same moment; run this again when it has ended"
            ) from error
        raise


def _unrenewed(cluster: Cluster, lease: dict[str, Any]) -> dict[str, Any] | None:
    """Return the lease of another holder once it has not been renewed in time; None if it is gone.

    Raises:
        UserError: it was renewed.
    """
    other, seconds = _holder(lease), lease["spec"].get("leaseDurationSeconds", SECONDS)
    log.info("waiting %d s for a sign of %s, which has the lease", seconds, other)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        now = read(cluster)
        if now is None:
            return None
        if now["spec"] != lease["spec"]:
            raise UserError(f"{_holder(now)} is deploying; run this again when that has ended")
    return lease


def read(cluster: Cluster) -> dict[str, Any] | None:
    return cluster.get(KIND, cluster.service.manager)


def write(cluster: Cluster, lease: dict[str, Any]) -> None:
    """Write the lease; the API server refuses it if another process wrote since it was read."""
    verb = "replace" if "resourceVersion" in lease["metadata"] else "create"
    cluster.kubectl(verb, "--filename=-", stdin=json.dumps(lease))


def _new(cluster: Cluster) -> dict[str, Any]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": cluster.service.manager},
        "spec": {},
    }


def _renewed(lease: dict[str, Any], holder: str) -> dict[str, Any]:
    spec = {
        "holderIdentity": holder,
        "leaseDurationSeconds": SECONDS,
        "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    return lease | {"spec": lease.get("spec", {}) | spec}


def _holder(lease: dict[str, Any]) -> str:
    """Return the holder; empty where there is none, as after a release by hand."""
    return str(lease.get("spec", {}).get("holderIdentity", ""))
