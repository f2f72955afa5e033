"""The addresses and keys of a cluster, and where its gateway is."""

import base64
import json
import os
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from components.errors import UserError
from tools.cluster import access
from tools.cluster.forward import Target
from tools.cluster_test.cluster import Route, find_gateway

SECRET = {
    "MLFLOW_TRACKING_URI": "http://mlflow.sentiment.svc.cluster.local:5000",
    "MLFLOW_TRACKING_PASSWORD": "a password",
    "AWS_ENDPOINT_URL": "http://seaweedfs.storage:8333",
}


class Kube:
    """Answers as kubectl was seen to, from the objects that it is given."""

    context = "here"

    def __init__(self, services: int = 1, **objects: dict) -> None:
        self.objects, self.services = objects, services

    def get(self, kind: str, name: str, namespace: str | None = None) -> dict | None:
        return self.objects.get(kind.partition(".")[0])

    def kubectl(self, *arguments: str) -> str:
        labels = (
            "owning-gateway-name=sentiment,gateway.envoyproxy.io/owning-gateway-namespace=space"
        )
        assert arguments[:2] == ("get", "services")
        assert f"--selector=gateway.envoyproxy.io/{labels}" in arguments
        service = {"metadata": {"namespace": "envoy-gateway-system", "name": "envoy-x"}}
        return json.dumps({"items": [service] * self.services})


@pytest.fixture
def forwarded(monkeypatch) -> list[Target]:
    """The targets of the forwards that were opened."""
    targets: list[Target] = []

    @contextmanager
    def forwarding(context: str, target: Target):
        targets.append(target)
        yield SimpleNamespace(address=f"http://127.0.0.1:{target.port + 10000}")

    monkeypatch.setattr(access, "forwarding", forwarding)
    for name in (*SECRET, "PROMETHEUS_URL"):
        monkeypatch.delenv(name, raising=False)
    return targets


def secret() -> dict:
    data = {name: base64.b64encode(value.encode()).decode() for name, value in SECRET.items()}
    return {"data": data}


def test_addresses_inside_the_cluster_are_forwarded(forwarded):
    with access.environment(Kube(secret=secret()), "sentiment"):
        # MLflow refuses other hosts than localhost
        assert os.environ["MLFLOW_TRACKING_URI"] == "http://localhost:15000"
        assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "a password"
        assert os.environ["AWS_ENDPOINT_URL"] == "http://localhost:18333"
        assert os.environ["PROMETHEUS_URL"] == "http://localhost:19090"
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert Target("storage", "seaweedfs", 8333) in forwarded


def test_what_is_set_already_stays(forwarded, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "PROMETHEUS_URL"):
        monkeypatch.setenv(name, "https://example.org")
    with access.environment(Kube(), "sentiment"):  # without the Secret
        assert os.environ["PROMETHEUS_URL"] == "https://example.org"
    assert forwarded == []


def test_training_needs_no_prometheus(forwarded):
    with access.environment(Kube(secret=secret()), "sentiment", prometheus=False):
        assert "PROMETHEUS_URL" not in os.environ
    assert access.PROMETHEUS not in forwarded


def test_addresses_outside_are_taken_as_they_are(forwarded):
    outside = base64.b64encode(b"https://mlflow.example.org").decode()
    document = secret()
    document["data"]["MLFLOW_TRACKING_URI"] = outside
    with access.environment(Kube(secret=document), "sentiment"):
        assert os.environ["MLFLOW_TRACKING_URI"] == "https://mlflow.example.org"


def test_a_missing_secret_is_named_with_the_way_out(forwarded):
    with (
        pytest.raises(UserError, match=r"capstone-secret in the namespace sentiment: make"),
        access.environment(Kube(), "sentiment"),
    ):
        pass


ROUTE = Route("a.example.org", "space", "sentiment")
GATEWAY = {"spec": {"listeners": [{"port": 5000}]}}


def test_the_service_of_envoy_gateway_is_found_by_its_labels():
    target = find_gateway(Kube(gateway=GATEWAY), ROUTE)
    assert target == Target("envoy-gateway-system", "envoy-x", 5000)


@pytest.mark.parametrize(
    ("kube", "words"),
    [
        (Kube(), "no Gateway sentiment in space"),
        (Kube(services=0, gateway=GATEWAY), "give --gateway ADDRESS"),
    ],
)
def test_a_gateway_that_is_not_found_has_a_way_out(kube: Kube, words: str):
    with pytest.raises(UserError, match=words):
        find_gateway(kube, ROUTE)
