"""Find the gateway of an overlay, the host of its service and the versions, by Kubernetes' API."""

import json
from dataclasses import dataclass
from typing import Any

from components.errors import UserError
from deploy.cluster import Cluster
from tools.cluster.forward import Target
from tools.cluster.kube import Kube

GATEWAY = "gateway.gateway.networking.k8s.io"
GATEWAY_CLASS = "gatewayclass.gateway.networking.k8s.io"
ROUTE = "httproute.gateway.networking.k8s.io"
CONTROLLER = "control-plane=kserve-controller-manager"  # label of KServe's Deployment
_OWNER = "gateway.envoyproxy.io/owning-gateway"  # labels of Envoy Gateway


@dataclass(frozen=True)
class Route:
    """The host by which a service is reached, and the Gateway that takes requests for it."""

    host: str
    namespace: str
    gateway: str


def find_route(cluster: Cluster) -> Route:
    """Return the first host and Gateway of the HTTPRoute that KServe makes for a service.

    Raises:
        UserError: there is no such route, or it has no host.
    """
    name, namespace = cluster.service.name, cluster.service.namespace
    spec = (cluster.get(ROUTE, name) or {}).get("spec", {})
    if not spec.get("hostnames"):
        raise UserError(
            f"no HTTPRoute {name} with a host in {namespace}: KServe makes it where its"
            " inferenceservice-config has enableGatewayApi"
        )
    parent = spec["parentRefs"][0]
    return Route(spec["hostnames"][0], parent.get("namespace", namespace), parent["name"])


def find_gateway(kube: Kube, route: Route) -> Target:
    """Return the Service that Envoy Gateway has made for a Gateway, and the listener's port.

    Raises:
        UserError: there is no such Gateway or Service.
    """
    gateway = kube.get(GATEWAY, route.gateway, route.namespace)
    if gateway is None:
        raise UserError(f"no Gateway {route.gateway} in {route.namespace}, which a route names")
    labels = f"{_OWNER}-name={route.gateway},{_OWNER}-namespace={route.namespace}"
    flags = ("--all-namespaces", f"--selector={labels}", "--output=json")
    services = json.loads(kube.kubectl("get", "services", *flags))["items"]
    if len(services) != 1:
        raise UserError(
            f"{len(services)} Services have the labels {labels}: only Envoy Gateway sets them;"
            " give --gateway ADDRESS"
        )
    metadata = services[0]["metadata"]
    port = gateway["spec"]["listeners"][0]["port"]
    return Target(metadata["namespace"], metadata["name"], port)


def versions(kube: Kube) -> dict[str, str]:
    """Return the versions of Kubernetes and KServe."""
    flags = ("--all-namespaces", f"--selector={CONTROLLER}", "--output=json")
    images = [
        container["image"]
        for each in json.loads(kube.kubectl("get", "deployments", *flags))["items"]
        for container in each["spec"]["template"]["spec"]["containers"]
    ]
    kserve = ", ".join(images) or "its controller is no Deployment here"
    return {"kubernetes": kube.version(), "kserve": kserve}


def gateway_versions(kube: Kube, route: Route) -> dict[str, str]:
    """Return the class of the Gateway and the controller of that class."""
    name = _field(kube.get(GATEWAY, route.gateway, route.namespace), "gatewayClassName")
    controller = _field(kube.get(GATEWAY_CLASS, name) if name else None, "controllerName")
    return {"gateway class": name or "none", "gateway controller": controller or "none"}


def _field(found: dict[str, Any] | None, field: str) -> str:
    return str(found["spec"][field]) if found else ""
