"""Two registrations at the same time on SQLite; test_registry.py has those on a server."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest

from components.io import creation
from tests.conftest import Trained


def register_twice(
    stage, trained: Trained, directory: Path, name: str, **environment: str
) -> list[str]:
    """Return the versions of two processes that start together."""
    start = threading.Barrier(2)

    def register(number: int) -> str:
        arguments = [*trained.registration(), "--registered", f"{number}.json", "--name", name]
        arguments[arguments.index("card.md")] = f"{number}.md"
        start.wait()
        result = stage("register", *arguments, cwd=directory, **environment)
        assert result.returncode == 0, result.stderr
        assert "Traceback" not in result.stderr, result.stderr
        return str(json.loads((directory / f"{number}.json").read_text())["version"])

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(register, range(2)))


def assert_one_version(client: mlflow.MlflowClient, name: str, runs: int) -> None:
    versions = client.search_model_versions(f"name = '{name}'")
    assert [str(version.version) for version in versions] == ["1"]
    found = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    assert len(found) == runs
    assert {run.info.status for run in found} == {"FINISHED"}
    assert str(client.get_model_version_by_alias(name, "challenger").version) == "1"


@pytest.mark.parametrize("attempt", range(3))
def test_first_use_by_two_makes_one_version(stage, trained, tmp_path, attempt: int):
    """Neither has a database at first."""
    home = tmp_path / "50% #1 a%20b"  # MLflow decodes what looks like a part of a URI
    home.mkdir()
    assert register_twice(stage, trained, home, "sentiment") == ["1", "1"]
    names = {path.name for path in home.iterdir()}
    assert names == {"mlflow.db", "mlruns", "0.json", "1.json", "0.md", "1.md"}
    assert [path.name for path in tmp_path.iterdir()] == [home.name]
    (tmp_path / "mlflow.db").symlink_to(home / "mlflow.db")
    assert_one_version(mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db"), "sentiment", 3)


def test_second_creation_keeps_the_first(tmp_path, monkeypatch):
    """Another process makes the database while this one has not finished its own."""
    database = tmp_path / "mlflow.db"
    make = creation.store

    def slow(uri: str, path: Path):
        store = make(uri, path)
        database.write_bytes(b"of the other process")
        return store

    monkeypatch.setattr(creation, "store", slow)
    creation.create(database)
    assert database.read_bytes() == b"of the other process"
    assert list(tmp_path.iterdir()) == [database]
