"""What is said when a controller does not apply a commit."""

from typing import Any

import pytest

from components.errors import UnavailableError
from deploy.cluster import Cluster
from deploy.gitops import KUSTOMIZATION, GitOps
from deploy.overlay import Predictor, State
from tests.cluster import base_service

READY = {"type": "Ready", "status": "True", "message": "Applied revision"}
FALSE = {
    "type": "Ready",
    "status": "False",
    "message": "dry-run failed: predictor.name is wrong.\n",
}


class Branch:
    def publish(self, _message: str) -> str:
        return "0123456789abcdef"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([READY], "Flux has not applied commit 0123456 yet; nothing was rolled back"),
        (
            [FALSE],
            "Flux has not applied commit 0123456 yet: dry-run failed: predictor.name is wrong;"
            " if the cluster refuses model.yaml, take it back with git revert and git push;"
            " nothing was rolled back",
        ),
    ],
)
def test_a_commit_that_is_refused_is_told_with_the_way_back(monkeypatch, conditions, expected):
    def get(_cluster: Cluster, kind: str, _name: str) -> dict[str, Any] | None:
        return {"status": {"conditions": conditions}} if kind == KUSTOMIZATION else None

    monkeypatch.setattr(Cluster, "get", get)
    gitops = GitOps(Cluster(base_service()), Branch(), seconds=0)
    with pytest.raises(UnavailableError) as raised:
        gitops.apply({}, State(Predictor("v1", "1", {})))
    assert str(raised.value) == expected
