"""Which predictors count as silent and as unresponsive, by what Prometheus says of its scrapes."""

import pytest

from deploy import traffic
from deploy.prometheus import Labels
from deploy.traffic import TrafficCounter
from tests.cluster import base_service


class Scrapes:
    """A Prometheus that knows only whether a pod of each predictor answered the last scrape."""

    def __init__(self) -> None:
        self.answered: dict[str, bool] = {}

    def ask(self, query: str) -> dict[Labels, float]:
        if not query.startswith("up{"):
            return {}
        return {(("predictor", name),): float(up) for name, up in self.answered.items()}


@pytest.mark.parametrize(
    ("down", "silent", "unresponsive"),
    [
        # for each look, 30 s after the one before, the predictors that are down
        (["v2"], {"v2"}, set()),
        (["v2", "v2"], {"v2"}, set()),
        (["v2", "v2", "v2"], {"v2"}, {"v2"}),
        (["v2", "", "v2", "v2"], {"v2"}, set()),
        # Prometheus is cut off from both, and notices the canary first, or last
        (["v2", "v1 v2", "v1 v2", "v1 v2"], {"v1", "v2"}, set()),
        (["v2", "v1 v2", "v1 v2", "v2"], {"v2"}, set()),
        # the canary stays away when the other is back
        (["v1 v2", "v2", "v2"], {"v2"}, {"v2"}),
        (["v1", "v1", "v1"], {"v1"}, {"v1"}),
    ],
)
def test_only_a_predictor_that_is_silent_alone_is_unresponsive(
    monkeypatch, down: list[str], silent: set[str], unresponsive: set[str]
):
    scrapes = Scrapes()
    counter = TrafficCounter(scrapes, base_service(), "", "v1", "v2")  # type: ignore[arg-type]
    for look, names in enumerate(down):
        monkeypatch.setattr(traffic.time, "monotonic", lambda look=look: 30.0 * look)
        scrapes.answered = {name: name not in names.split() for name in ("v1", "v2")}
        read = counter.read()
    assert {name for name, each in read.items() if each.silent} == silent
    assert {name for name, each in read.items() if each.unresponsive} == unresponsive
