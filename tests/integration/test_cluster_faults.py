"""Versions that tools.cluster_test registers: a copy, and one whose model cannot be loaded."""

from pathlib import Path

import mlflow
import pytest

from components.errors import UserError
from components.io import registry
from components.io.models import load_model
from deploy.version import verified_uri
from tools.cluster_test.faults import second_version, unloadable_version

NAME = "sentiment"


@pytest.fixture
def client(stage, trained, own_registry, tmp_path, monkeypatch) -> mlflow.MlflowClient:
    """A registry with one version."""
    monkeypatch.chdir(tmp_path)
    result = stage("register", *trained.registration(), "--registered", "r.json")
    assert result.returncode == 0, result.stderr
    with registry.connected() as client:
        yield client


def test_versions_are_registered_once_and_as_told(client, tmp_path: Path):
    assert second_version(client, NAME, "1") == "2"
    assert unloadable_version(client, NAME, "1") == "3"
    assert second_version(client, NAME, "1") == "2"
    assert unloadable_version(client, NAME, "1") == "3"
    assert registry.versions(client, NAME) == ["1", "2", "3"]
    models = {}
    for number in ("1", "2", "3"):
        version = client.get_model_version(NAME, number)
        # deploy finds nothing wrong with any of them
        assert verified_uri(client, version, local=True).startswith("file:")
        models[number] = registry.download(client, version, tmp_path / number)
    for number in ("1", "2"):
        load_model(models[number])
    with pytest.raises(UserError, match="not a whole model file"):
        load_model(models["3"])
