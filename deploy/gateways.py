"""Queries of Prometheus for the responses 5xx of a gateway, by predictor.

They include those that the gateway makes itself, as for a pod that refuses connections: they are in
no predictor's metrics.
"""

from dataclasses import dataclass

from deploy.overlay import Service


@dataclass(frozen=True)
class GatewayQueries:
    """``errors`` returns counters with a label ``predictor``.

    ``requests`` is a metric that the gateway has as soon as it is used; empty where none is known.
    """

    errors: str
    requests: str = ""


KNOWN = {
    # read from a real Traefik 3: one service for each backend of a route
    "traefik": GatewayQueries(
        'label_replace(last_over_time(traefik_service_requests_total{code=~"5..",'
        'service=~".+-svc-NAMESPACE-NAME-(PREDICTORS)-predictor-.*"}[5m]), "predictor", "$1",'
        ' "service", ".+-svc-NAMESPACE-NAME-(PREDICTORS)-predictor-.*")',
        "traefik_service_requests_total",
    ),
    # Envoy Gateway puts all backends of a rule into one cluster, so a cluster's errors are of no
    # one predictor. Those of an endpoint are: its address is that of a pod that Prometheus scrapes.
    # Envoy counts there what the pod answers and what Envoy answers in its place (router.cc,
    # rq_error), each retry apart; a request for which there is no pod at all has no endpoint.
    "envoy": GatewayQueries(
        "sum by (instance, envoy, envoy_cluster_name) (label_replace(label_replace("
        'envoy_cluster_endpoint_rq_error, "envoy", "$1", "instance", "(.+)"),'
        ' "instance", "$1", "envoy_endpoint_address", "(.+)"))'
        " * on (instance) group_left (predictor) group by (instance, predictor)"
        ' (up{namespace="NAMESPACE",predictor=~"PREDICTORS"})',
        "envoy_cluster_endpoint_rq_total",
    ),
}


def queries(gateway: str, service: Service, *predictors: str) -> GatewayQueries | None:
    """Return the queries of a gateway in KNOWN, or of a query in its place; None for an empty one.

    NAMESPACE, NAME and PREDICTORS are filled in.
    """
    if not gateway:
        return None
    known = KNOWN.get(gateway, GatewayQueries(gateway))
    errors = (
        known.errors.replace("NAMESPACE", service.namespace)
        .replace("NAME", service.name)
        .replace("PREDICTORS", "|".join(predictors))
    )
    return GatewayQueries(errors, known.requests)
