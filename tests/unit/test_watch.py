import threading
from types import SimpleNamespace

from prometheus_client import REGISTRY

from serving.model.watch import Watch


def refused() -> float:
    return REGISTRY.get_sample_value("model_load_count_total", {"outcome": "refused"}) or 0


class FailingModel:
    """A served model whose first three checks fail with an error that Watch does not expect."""

    current = SimpleNamespace(version="7")

    def __init__(self) -> None:
        self.checks = 0
        self.checked_again = threading.Event()

    def is_outdated(self) -> bool:
        self.checks += 1
        if self.checks <= 3:
            raise MemoryError
        self.checked_again.set()
        return False


def test_unexpected_error_does_not_end_watch():
    before, model = refused(), FailingModel()
    watch = Watch(model, 0.001)
    assert model.checked_again.wait(10)
    watch.stop()
    assert refused() == before + 3
