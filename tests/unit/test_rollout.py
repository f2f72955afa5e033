"""A rollout that cannot go back: a stand-in cluster, whose stable predictor is not ready."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from components.errors import UnavailableError
from deploy.errors import UnfitVersionError
from deploy.overlay import Predictor, State
from deploy.rollout import Rollout

ONE, TWO = Predictor("v1", "1", {}), Predictor("v2", "2", {})


def test_an_unready_stable_predictor_is_unavailable(monkeypatch):
    """It was fit before, so the cluster is at fault, and the command says so in one line."""

    def wait_ready(predictor: Predictor, *_: object) -> None:
        raise UnfitVersionError(f"{predictor.name} is not ready")

    cluster = SimpleNamespace(
        replicas=lambda _: 2, wait_ready=wait_ready, wait_routed=lambda *_: False
    )
    applied: list[State] = []
    monkeypatch.setattr(Rollout, "_apply", lambda _, state: applied.append(state))
    rollout = Rollout(cluster, Path(), {"minReplicas": 1}, None, None, 1)
    with pytest.raises(UnavailableError, match="went back to v1, and v1 is not ready"):
        rollout.run(State(ONE), [State(ONE, TWO), State(TWO)])
    assert applied[-1] == State(ONE)
