"""The Gateway is the only way to a predictor, from outside and inside the cluster."""

from typing import Any

import pytest

from tests.gateway_policies import INSIDE, OUTSIDE
from tests.manifests import OVERLAYS, find, render
from tests.policies import broken, change

GATEWAY = ("Gateway", "sentiment")
ADDRESS = ("Service", "sentiment-sentiment")
ADMITTED = "spec/ingress/0/from/0/namespaceSelector/matchLabels"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_clients_come_through_the_gateway(overlay: str):
    objects = render(overlay)
    assert broken(objects, INSIDE) == []
    gateway = find(objects, *GATEWAY)
    assert [each["port"] for each in gateway["spec"]["listeners"]] == [5000]
    (routes,) = [each["allowedRoutes"]["namespaces"] for each in gateway["spec"]["listeners"]]
    labels = find(objects, "Namespace", "sentiment")["metadata"]["labels"]
    assert routes["selector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_clients_outside_need_tls_and_token(overlay: str):
    assert broken(render(overlay), OUTSIDE) == []


def test_local_has_neither_tls_nor_token():
    assert any("has no TLS" in each for each in broken(render("local"), OUTSIDE))


def test_stable_address_is_the_host_of_the_route():
    """KServe's host is NAME-NAMESPACE and a domain: here the namespace's own, for the address."""
    metadata = find(render("local"), *ADDRESS)["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("sentiment-sentiment", "sentiment")


@pytest.mark.parametrize(
    ("what", "path", "value", "words"),
    [
        (("Service", "mlflow"), "spec/type", "LoadBalancer", "bypasses the Gateway"),
        (GATEWAY, "kind", "Gatewya", "no Gateway"),
        (ADDRESS, "spec/externalName", "x.y.svc.cluster.local", "is not the Gateway's Service"),
        (
            ("EnvoyProxy", "sentiment"),
            "spec/provider/kubernetes/envoyService/name",
            "x",
            "is not the",
        ),
        (("NetworkPolicy", "gateway"), f"{ADMITTED}/kubernetes.io~metadata.name", "shop", "admits"),
        (("NetworkPolicy", "gateway"), "spec/ingress/0/from", ..., "admits"),
        (("NetworkPolicy", "prometheus"), "spec/ingress/0/ports", ..., "admits"),
    ],
)
def test_another_way_in_is_found(what: tuple[str, str], path: str, value: Any, words: str):
    objects = render("local")
    change(find(objects, *what), path, value)
    assert words in "\n".join(broken(objects, INSIDE))


@pytest.mark.parametrize(
    ("what", "path", "value", "words"),
    [
        (GATEWAY, "spec/listeners/0/protocol", "HTTP", "has no TLS"),
        (("SecurityPolicy", "sentiment"), "spec/targetRefs/0/name", "other", "requires no token"),
        (
            ("SecurityPolicy", "sentiment"),
            "spec/jwt/providers/0/audiences",
            [],
            "tokens for others",
        ),
    ],
)
def test_open_gateway_is_found(what: tuple[str, str], path: str, value: Any, words: str):
    objects = render("production")
    change(find(objects, *what), path, value)
    assert words in "\n".join(broken(objects, OUTSIDE))
