"""What KServe merges into a canary.

The merged specs are the output of mergo 1.0.2 (WithOverride), which KServe's buildCanaryPredictor
calls, for a struct of the fields of a Kubernetes PodSpec. The Deployment that a real controller
made of a canary, on 2026-11-29, kept what these keep.
"""

import pytest

from components.errors import UserError
from deploy.inherited import inherited, require_own_fields
from deploy.overlay import Predictor
from tests.cluster import merged

FULL = {"runAsNonRoot": True, "fsGroup": 1}
MERGED = [
    ({"enableServiceLinks": True}, {}, {"enableServiceLinks": True}),
    ({"enableServiceLinks": True}, {"enableServiceLinks": False}, {"enableServiceLinks": True}),
    ({"enableServiceLinks": False}, {}, {"enableServiceLinks": False}),
    ({"enableServiceLinks": False}, {"enableServiceLinks": True}, {"enableServiceLinks": True}),
    ({}, {"enableServiceLinks": False}, {"enableServiceLinks": False}),
    (
        {"terminationGracePeriodSeconds": 60},
        {"terminationGracePeriodSeconds": 0},
        {"terminationGracePeriodSeconds": 60},
    ),
    (
        {"terminationGracePeriodSeconds": 60},
        {"terminationGracePeriodSeconds": 30},
        {"terminationGracePeriodSeconds": 30},
    ),
    ({"serviceAccountName": "a"}, {"serviceAccountName": ""}, {"serviceAccountName": "a"}),
    ({"securityContext": FULL}, {"securityContext": {}}, {"securityContext": FULL}),
    (
        {"securityContext": FULL},
        {"securityContext": {"fsGroup": 2}},
        {"securityContext": {"runAsNonRoot": True, "fsGroup": 2}},
    ),
    (
        {"securityContext": FULL},
        {"securityContext": {"runAsNonRoot": False, "fsGroup": 1}},
        {"securityContext": FULL},
    ),
    (
        {"nodeSelector": {"a": "1", "b": "2"}},
        {"nodeSelector": {"a": "3"}},
        {"nodeSelector": {"a": "3", "b": "2"}},
    ),
    ({"annotations": {"x": "y"}}, {"annotations": {"x": ""}}, {"annotations": {"x": ""}}),
    ({"tolerations": [{"key": "a"}]}, {"tolerations": []}, {"tolerations": [{"key": "a"}]}),
    (
        {"tolerations": [{"key": "a"}, {"key": "b"}]},
        {"tolerations": [{"key": "c"}]},
        {"tolerations": [{"key": "c"}]},
    ),
    (
        {"containers": [{"name": "a", "env": [{"name": "A", "value": "1"}]}]},
        {"containers": [{"name": "a"}]},
        {"containers": [{"name": "a"}]},
    ),
    ({}, {"nodeSelector": {"a": "1"}}, {"nodeSelector": {"a": "1"}}),
]


@pytest.mark.parametrize(("stable", "canary", "expected"), MERGED)
def test_a_field_is_inherited_if_the_merged_spec_differs(stable, canary, expected):
    assert merged(stable, canary) == expected
    assert bool(list(inherited(stable, canary))) is (expected != canary)


def test_the_fields_are_named():
    stable = Predictor("v1-a", "1", {"nodeSelector": {"disk": "fast"}, "hostNetwork": True})
    with pytest.raises(UserError, match=r"^template: nodeSelector\.disk, hostNetwork: v1-a has a"):
        require_own_fields(Predictor("v2-b", "2", {"hostNetwork": False}), stable)
    require_own_fields(stable, stable)


def test_the_strategy_of_the_deployment_may_change():
    stable = Predictor("v1-a", "1", {"deploymentStrategy": {"type": "Recreate"}})
    require_own_fields(Predictor("v2-b", "2", {}), stable)
