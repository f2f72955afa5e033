import threading
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from serving.model import loading
from serving.model.watch import Watch


def refused() -> float:
    return REGISTRY.get_sample_value("model_load_count_total", {"outcome": "refused"}) or 0


def test_an_error_that_nobody_thought_of_does_not_end_the_watch(monkeypatch: pytest.MonkeyPatch):
    looked, predictor = threading.Event(), SimpleNamespace(uri="x", served=SimpleNamespace(state=1))
    before = refused()

    def state(uri: str) -> int:
        if refused() - before < 3:
            raise MemoryError
        looked.set()
        return 1

    predictor.served.version = "7"
    monkeypatch.setattr(loading, "state", state)
    watch = Watch(predictor, 0.001)
    assert looked.wait(10)
    watch.stop()
    assert refused() == before + 3
