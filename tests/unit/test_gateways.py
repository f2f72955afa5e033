"""Queries for the errors of a gateway; tests/integration/test_traffic.py asks a Prometheus them."""

import yaml

from deploy.gateways import KNOWN, queries
from deploy.overlay import Service
from tests.conftest import REPO

SERVICE = Service("second", "other", "sentiment", "sentiment")


def test_names_are_filled_in():
    for gateway in KNOWN:
        found = queries(gateway, SERVICE, "v1-a", "v2-b")
        assert found is not None
        assert "v1-a|v2-b" in found.errors
        assert "other" in found.errors
        assert "NAME" not in found.errors
        assert "PREDICTORS" not in found.errors
    own = queries('errors{ns="NAMESPACE",service="NAME-PREDICTORS"}', SERVICE, "v1-a", "v2-b")
    assert own is not None
    assert own.errors == 'errors{ns="other",service="second-v1-a|v2-b"}'
    assert own.requests == ""
    assert queries("", SERVICE, "v1-a") is None


def test_the_gateway_counts_what_the_query_reads():
    """Envoy Gateway has no counters of endpoints unless it is told to."""
    documents = yaml.safe_load_all((REPO / "manifests/cluster/gateway.yaml").read_text())
    (proxy,) = (each for each in documents if each["kind"] == "EnvoyProxy")
    assert proxy["spec"]["telemetry"]["metrics"]["enablePerEndpointStats"] is True
