"""Look for another model without loading a refused one again; keep /metrics whole."""

import logging
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

import sentiment.model
import sentiment.store
from serving.model import loading, registry
from serving.model.collector import ModelCollector
from serving.model.loading import ServedModel
from serving.model.registry import SourceError
from serving.model.watch import Watch

OUTCOMES = ("taken in", "refused", "unavailable")


def outcomes() -> list[float]:
    return [
        REGISTRY.get_sample_value("model_load_count_total", {"outcome": outcome}) or 0
        for outcome in OUTCOMES
    ]


def since(before: list[float]) -> dict[str, float]:
    return {name: now - then for name, now, then in zip(OUTCOMES, outcomes(), before, strict=True)}


class FailingModel:
    """A served model of which the first checks fail with the errors that are given."""

    current = SimpleNamespace(version="7")

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.checked_again = threading.Event()

    def is_outdated(self) -> bool:
        if self._errors:
            raise self._errors.pop(0)
        self.checked_again.set()
        return False


def watch_until_checked(model: FailingModel) -> None:
    watch = Watch(model, 0.001)
    assert model.checked_again.wait(10)
    watch.stop()


def test_unexpected_error_does_not_end_watch():
    before = outcomes()
    watch_until_checked(FailingModel(*[MemoryError()] * 3))
    assert since(before)["unavailable"] == 3


def test_each_reason_is_logged_once(caplog):
    down, denied = SourceError("no response"), SourceError("403")
    watch_until_checked(FailingModel(down, down, denied, down, ValueError("x"), ValueError("x")))
    assert len(caplog.records) == 3
    assert [record.exc_info is not None for record in caplog.records] == [False, False, True]
    assert all("version 7 stays" in record.message for record in caplog.records)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models, the second without a whole file."""
    folders = []
    for number in (1, 2):
        folders.append(folder := tmp_path_factory.mktemp("model"))
        model = sentiment.model.build(min_df=1).fit(["good", "bad"] * number, [1, 0] * number)
        sentiment.store.save(model, folder)
    path = folders[1] / "model.skops"
    path.write_bytes(path.read_bytes()[:-1])
    return folders


class FakeRegistry:
    """The champion of a registry that has the models as its versions 1 and 2."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, models: list[Path]) -> None:
        self.champion = 1
        self.downloads = 0
        self._models = models
        monkeypatch.setattr(registry, "resolve", self.resolve)
        monkeypatch.setattr(registry, "download", self.download)

    def resolve(self, uri: str) -> Any:
        return SimpleNamespace(version=self.champion, tags={})

    def download(self, uri: str, version: Any, scratch: Path) -> Path:
        self.downloads += 1
        return Path(shutil.copytree(self._models[version.version - 1], scratch / "model"))


def test_a_refused_version_is_not_downloaded_again(models, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    fake = FakeRegistry(monkeypatch, models)
    served = ServedModel("models:/sentiment@champion")
    served.load()
    digests = [sentiment.store.digest(model) for model in models]
    watch = Watch(served, 60)
    for champion, downloads in ((1, 1), (2, 2), (2, 2), (2, 2), (1, 2), (2, 3), (2, 3)):
        fake.champion = champion
        watch._check()
        assert fake.downloads == downloads
        assert served.current.version == "1"
    watch.stop()
    named = f"serving models:/sentiment@champion, version 1, digest {digests[0]}, scored by "
    assert caplog.messages[0] in (f"{named}the compiled kernel", f"{named}NumPy")
    refusal = f"{served.current and 'models:/sentiment@champion'}: version 2"
    assert len(caplog.messages) == 3
    assert all(message.startswith(refusal) for message in caplog.messages[1:])
    assert all(message.endswith("; version 1 stays") for message in caplog.messages[1:])


def test_a_version_without_its_file_is_refused(tmp_path, models, monkeypatch):
    (tmp_path / "empty").mkdir()
    FakeRegistry(monkeypatch, [tmp_path / "empty"])
    with pytest.raises(loading.RefusedError, match=r"version 1, .*: model\.skops: No such file"):
        ServedModel("models:/sentiment@champion").load()


def test_a_model_that_is_replaced_while_it_is_read_is_not_taken(tmp_path, models, monkeypatch):
    folder = Path(shutil.copytree(models[0], tmp_path / "model"))
    states = iter(("before", "after"))
    monkeypatch.setattr(loading, "source_state", lambda uri: next(states))
    with pytest.raises(SourceError, match="replaced while it was read"):
        loading.load(str(folder))


def test_one_failing_metric_leaves_the_others(models, caplog):
    served = ServedModel(str(models[0]))
    served.load()
    served.current.window.stability = None  # not callable
    metrics = CollectorRegistry()
    metrics.register(ModelCollector(served))
    for _ in range(3):
        assert b"model_version_info{" in generate_latest(metrics)
    assert len([each for each in caplog.records if each.exc_info]) == 1
