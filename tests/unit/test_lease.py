"""Who may deploy: a lease that is renewed, one that is not, and clocks that differ."""

import json
import threading
import time
from typing import Any

import pytest

from components.errors import UnavailableError, UserError
from deploy import lease
from tests.cluster import base_service


class InMemory:
    """A cluster that keeps one lease."""

    service = base_service()
    pauses = ()

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.refusal = ""

    def get(self, _kind: str, _name: str) -> dict[str, Any] | None:
        return json.loads(json.dumps(self.lease))

    def kubectl(self, verb: str, *_: str, stdin: str = "") -> None:
        if self.refusal:
            raise UserError(self.refusal)
        if verb == "delete":
            self.lease = None
            return
        assert verb == ("replace" if self.lease else "create")
        self.lease = json.loads(stdin)
        self.lease["metadata"]["resourceVersion"] = "1"


@pytest.fixture
def cluster(monkeypatch) -> InMemory:
    monkeypatch.setattr(lease, "SECONDS", 1)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.05)
    return InMemory()


@pytest.mark.parametrize("renewed", ["2020-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"])
def test_a_dead_holder_is_waited_for_whatever_its_clock_says(cluster, renewed):
    lease.acquire(cluster, "a@one")
    cluster.lease["spec"]["renewTime"] = renewed
    start = time.monotonic()
    lease.acquire(cluster, "b@two")
    assert 1 <= time.monotonic() - start < 5
    assert cluster.lease["spec"]["holderIdentity"] == "b@two"


@pytest.mark.parametrize("renewed", ["2020-01-01T00:00:00.000001Z", "2999-01-01T00:00:00.000001Z"])
def test_a_living_holder_keeps_its_lease_whatever_its_clock_says(cluster, renewed):
    lease.acquire(cluster, "a@one")
    cluster.lease["spec"]["renewTime"] = "2020-01-01T00:00:00.000000Z"

    def renew() -> None:
        cluster.lease["spec"]["renewTime"] = renewed

    timer = threading.Timer(0.3, renew)
    timer.start()
    with pytest.raises(UserError, match=r"a@one is deploying; run this again when that has ended"):
        lease.acquire(cluster, "b@two")
    timer.join()
    assert cluster.lease["spec"]["holderIdentity"] == "a@one"


def test_a_released_lease_is_free_at_once(cluster):
    lease.acquire(cluster, "a@one")
    timer = threading.Timer(0.2, lambda: setattr(cluster, "lease", None))
    timer.start()
    start = time.monotonic()
    lease.acquire(cluster, "b@two")
    assert time.monotonic() - start < 1
    timer.join()


def test_the_same_holder_renews(cluster):
    lease.acquire(cluster, "a@one")
    start = time.monotonic()
    lease.acquire(cluster, "a@one")
    assert time.monotonic() - start < 1


def test_a_lease_without_a_holder_is_free_at_once(cluster):
    cluster.lease = {"metadata": {"resourceVersion": "1"}, "spec": {"leaseTransitions": 1}}
    start = time.monotonic()
    lease.acquire(cluster, "b@two")
    assert time.monotonic() - start < 1
    assert cluster.lease["spec"]["holderIdentity"] == "b@two"


def test_a_lease_without_a_duration_expires(cluster):
    lease.acquire(cluster, "a@one")
    del cluster.lease["spec"]["leaseDurationSeconds"]
    lease.acquire(cluster, "b@two")
    assert cluster.lease["spec"]["holderIdentity"] == "b@two"


@pytest.mark.parametrize("reason", ["AlreadyExists", "Conflict"])
def test_a_lost_race_for_the_lease_names_the_other_deployment(cluster, reason):
    cluster.refusal = f"kubectl create: Error from server ({reason}): of the API server"
    with pytest.raises(UserError, match="another deployment started at the same moment; run this"):
        lease.acquire(cluster, "b@two")


def test_another_refusal_is_told_as_it_is(cluster):
    cluster.refusal = "kubectl create: Error from server (Forbidden): of the API server"
    with pytest.raises(UserError, match="Forbidden"):
        lease.acquire(cluster, "b@two")


def test_a_lease_that_another_has_is_lost_at_once(cluster, monkeypatch):
    """Not only when it would have expired: the other one may be changing the cluster already."""
    monkeypatch.setattr(lease, "replace", lambda same, **_: same)
    monkeypatch.setattr(lease, "SECONDS", 6)  # looked at each two seconds
    with lease.hold(cluster) as require_lease:
        require_lease()
        cluster.lease["spec"]["holderIdentity"] = "b@two"
        start = time.monotonic()
        with pytest.raises(UnavailableError, match="the lease sentiment-deploy was lost: another"):
            while time.monotonic() - start < 4:
                require_lease()
                time.sleep(0.05)
    assert cluster.lease["spec"]["holderIdentity"] == "b@two"
