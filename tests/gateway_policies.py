"""Policies for the way into a cluster: through the Gateway alone."""

from collections.abc import Iterator

from tests.manifests import Object, name
from tests.policies import Policy, of_kind

GATEWAY_NAMESPACE = "envoy-gateway-system"
PREDICTOR_PORTS = {8080, 8081}


def _namespace(own: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": own}}}


_PROMETHEUS = [
    _namespace("monitoring"),
    {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}},
]


def gateway_is_the_only_way_in(objects: list[Object]) -> Iterator[str]:
    """Clients reach a predictor through the Gateway, as only it has a canary's shares."""
    gateways = [*of_kind(objects, "Gateway")]
    if len(gateways) != 1:
        yield f"{len(gateways) or 'no'} Gateway"
    proxies = [each["spec"]["provider"]["kubernetes"] for each in of_kind(objects, "EnvoyProxy")]
    targets = [
        f"{proxy['envoyService']['name']}.{GATEWAY_NAMESPACE}.svc.cluster.local"
        for proxy in proxies
    ]
    for service in of_kind(objects, "Service"):
        spec = service["spec"]
        if spec.get("type", "ClusterIP") not in ("ClusterIP", "ExternalName"):
            yield f"{name(service)}: {spec['type']} bypasses the Gateway"
        if "externalName" in spec and spec["externalName"] not in targets:
            yield f"{name(service)}: {spec['externalName']} is not the Gateway's Service"
    for policy in of_kind(objects, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            ports = {each["port"] for each in rule.get("ports", [])} or PREDICTOR_PORTS
            if not ports & PREDICTOR_PORTS:
                continue
            for peer in rule.get("from", [{}]):
                scrape = ports == {8080} and peer in _PROMETHEUS
                if peer != _namespace(GATEWAY_NAMESPACE) and not scrape:
                    yield f"{name(policy)}: admits {peer}, not the Gateway"


def gateway_requires_tls_and_tokens(objects: list[Object]) -> Iterator[str]:
    """For overlays with clients outside."""
    policies = [thing["spec"] for thing in of_kind(objects, "SecurityPolicy")]
    for gateway in of_kind(objects, "Gateway"):
        for listener in gateway["spec"]["listeners"]:
            if listener["protocol"] != "HTTPS" or not listener["tls"]["certificateRefs"]:
                yield f"{name(gateway)}: listener {listener['name']} has no TLS"
        own = [p for p in policies if gateway["metadata"]["name"] in str(p["targetRefs"])]
        providers = [each for policy in own for each in policy["jwt"]["providers"]]
        if not providers:
            yield f"{name(gateway)}: it requires no token"
        for each in providers:
            keys = each["remoteJWKS"]["uri"]
            if not (each.get("issuer") and each.get("audiences") and keys.startswith("https://")):
                yield f"{name(gateway)}: {each['name']} accepts tokens for others"


INSIDE: tuple[Policy, ...] = (gateway_is_the_only_way_in,)
OUTSIDE: tuple[Policy, ...] = (*INSIDE, gateway_requires_tls_and_tokens)
