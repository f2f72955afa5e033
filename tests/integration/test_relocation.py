"""A SQLite registry whose folder was moved, copied or renamed, read and written by MLflow."""

import json
import shutil
import sqlite3
import sys
import urllib.request
from pathlib import Path

import mlflow
import pytest

from components.errors import UnavailableError, UserError
from components.io import creation, registry, relocation
from serving.model import registry as serving
from serving.model.loading import load
from tests.conftest import REPO, Trained, assert_one_line, free_port, running

PATHS = (
    "select artifact_location from experiments union all select artifact_uri from runs"
    " union all select source from model_versions"
    " union all select storage_location from model_versions"
)


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A registry as earlier releases made it: the working directory was in its paths."""
    home = tmp_path_factory.mktemp("original") / "checkout"
    home.mkdir()
    creation.create(home / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        client = mlflow.MlflowClient(f"sqlite:///{home}/mlflow.db")
        register(client, client.create_experiment("sentiment"))
        client.create_run(client.create_experiment("sentiment-promotions"))
        client.create_run(client.create_experiment("on S3", "s3://bucket/mlruns/3"))
    return home


def register(client: mlflow.MlflowClient, experiment: str) -> str:
    """Register a version of one file and return the location of its run."""
    run = client.create_run(experiment).info
    client.log_text(run.run_id, "a model", "model/file")
    if not client.search_registered_models("name = 'sentiment'"):
        client.create_registered_model("sentiment")
    client.create_model_version("sentiment", f"{run.artifact_uri}/model", run.run_id)
    return str(run.artifact_uri)


@pytest.fixture
def at(monkeypatch):
    """Return a function that makes the registry in a folder the one to connect to."""

    def go(home: Path) -> Path:
        monkeypatch.chdir(home)
        # in full: MLflow keeps a store open for each address that it has seen
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
        return home

    return go


@pytest.fixture
def copy(original, tmp_path, at) -> Path:
    shutil.copytree(original, tmp_path / "copy")
    return at(tmp_path / "copy")


@pytest.fixture
def moved(copy, tmp_path, at):
    """Return a function that moves the copy to a folder of this name, and nothing stays behind."""

    def move(name: str) -> Path:
        relocation.relocate(copy / "mlflow.db")
        return at(copy.rename(tmp_path / name))

    return move


def paths(home: Path) -> list[str]:
    with sqlite3.connect(home / "mlflow.db") as connection:
        return [path for (path,) in connection.execute(PATHS)]


def read(scratch: Path, version: str = "1") -> str:
    """Return what the registry has as the model."""
    scratch.mkdir()
    with registry.connected() as client:
        found = registry.find_version(client, "sentiment", version)
        return (registry.download(client, found, scratch) / "file").read_text()


@pytest.mark.parametrize("name", ["moved", "a b", "50% #1 ü", "a%20b", "it's?"])
def test_moved_registry_finds_its_model(moved, tmp_path, caplog, name: str):
    home = moved(name)
    relocation.relocate(Path("mlflow.db"))
    source = paths(home)[-1]
    folder = mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=str(tmp_path))
    assert (Path(folder) / "file").read_text() == "a model"
    here = [relocation.local_path(path) for path in paths(home)]
    assert sum(path is not None and path.is_relative_to(home) for path in here) == 7
    assert f"was moved from {tmp_path}/copy: 7 artifact paths now point to {home}" in caplog.text
    caplog.clear()
    relocation.relocate(home / "mlflow.db")
    assert not caplog.text


@pytest.mark.parametrize("name", ["moved", "a b #1"])
def test_moved_registry_writes_beside_itself(moved, tmp_path, name: str):
    home = moved(name)
    with registry.connected() as client:
        for experiment in ("sentiment", "sentiment-promotions", "another"):
            register(client, registry.experiment_id(client, experiment))
    assert len(list(home.glob("mlruns/*/*/artifacts/model/file"))) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_copy_leaves_the_original_alone(original, copy):
    before = {path: path.is_file() and path.read_bytes() for path in original.rglob("*")}
    with registry.connected() as client:
        register(client, registry.experiment_id(client, "sentiment"))
    after = {path: path.is_file() and path.read_bytes() for path in original.rglob("*")}
    assert after == before
    assert not any(str(original) in path for path in paths(copy))


def test_copy_without_runs_writes_beside_itself(tmp_path, at, monkeypatch):
    (tmp_path / "first").mkdir()
    monkeypatch.chdir(tmp_path / "first")
    creation.create(Path("mlflow.db"))
    mlflow.MlflowClient(f"sqlite:///{tmp_path}/first/mlflow.db").create_experiment("sentiment")
    shutil.copytree("../first", "../second")
    at(tmp_path / "second")
    with registry.connected() as client:
        location = register(client, registry.experiment_id(client, "sentiment"))
    assert location.startswith(f"{tmp_path}/second/mlruns/1/")


def test_artifacts_of_another_folder_stay(original, copy, tmp_path, monkeypatch):
    """A run from another working directory has its artifacts there, and nowhere else."""
    relocation.relocate(copy / "mlflow.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    client = mlflow.MlflowClient(f"sqlite:///{copy}/mlflow.db?timeout=60")  # a store of its own
    location = register(client, client.create_experiment("from elsewhere"))
    assert location.startswith(f"{tmp_path}/elsewhere/mlruns/")
    before = paths(copy)
    assert read(tmp_path / "scratch", "2") == "a model"
    assert paths(copy) == before
    assert "s3://bucket/mlruns/3" in before


def test_artifacts_in_the_old_place_only_stay(moved, tmp_path):
    """An earlier release wrote a later run into the old folder, which it made again."""
    home = moved("moved")
    client = mlflow.MlflowClient(f"sqlite:///{home}/mlflow.db")
    old = register(client, "1")
    assert old.startswith(f"{tmp_path}/copy/mlruns/1/")
    assert read(tmp_path / "1", "1") == "a model"
    assert read(tmp_path / "2", "2") == "a model"
    assert [path for path in paths(home) if str(tmp_path / "copy") in path] == [
        *(old, f"{old}/model", f"{old}/model")
    ]


def test_database_alone_reads_the_old_artifacts(original, tmp_path, at):
    (tmp_path / "backup").mkdir()
    shutil.copy(original / "mlflow.db", tmp_path / "backup")
    at(tmp_path / "backup")
    assert read(tmp_path / "scratch") == "a model"


def test_symlinked_checkout_changes_nothing(copy, tmp_path, at):
    relocation.relocate(copy / "mlflow.db")
    before = paths(copy)
    (tmp_path / "link").symlink_to(copy)
    at(tmp_path / "link")
    assert read(tmp_path / "scratch") == "a model"
    assert paths(copy) == before


def test_lost_artifacts_are_one_line(moved, tmp_path):
    home = moved("moved")
    shutil.rmtree(home / "mlruns")
    lost = rf"sentiment version 1: the registry has its files in {tmp_path}/copy/mlruns/1/\w+/"
    with pytest.raises(UserError, match=f"{lost}artifacts/model, .*bring it back, or run register"):
        read(tmp_path / "scratch")
    with pytest.raises(serving.SourceError, match=f"{tmp_path}/copy/mlruns/1/.*bring it back"):
        serving.download("models:/sentiment/1", serving.resolve("models:/sentiment/1"), tmp_path)


def test_predictor_finds_a_moved_model(moved, tmp_path):
    """The predictor writes nothing into the registry."""
    home = moved("a b #")
    before = (home / "mlflow.db").read_bytes()
    version = serving.resolve("models:/sentiment/1")
    folder = serving.download("models:/sentiment/1", version, tmp_path)
    assert (folder / "file").read_text() == "a model"
    assert (home / "mlflow.db").read_bytes() == before


def test_moved_checkout_judges_and_serves(stage, trained, trained_worse, tmp_path, monkeypatch):
    """The stages as DVC runs them: relative paths, and one address for every folder."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    judge = ["--registered", "r.json", "--test", trained.test, "--verdict", "v.json"]

    def run(home: Path, candidate: Trained) -> str:
        for name, *flags in (
            ("register", *candidate.registration(), "--registered", "r.json"),
            ("gate", *judge, "--min-accuracy", "0.5"),
            ("promote", "--verdict", "v.json", "--promotion", "p.json"),
        ):
            result = stage(name, *flags, cwd=home)
            assert result.returncode == 0, result.stderr
        return str(json.loads((home / "p.json").read_text())["outcome"])

    assert run(old, trained) == "promoted"
    old.rename(new)
    assert run(new, trained_worse) == "refused"
    monkeypatch.chdir(new)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{new}/mlflow.db")
    assert load("models:/sentiment@champion").version == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_mlflow_server_shows_a_moved_run(moved):
    home = moved("moved")
    port = free_port()
    command = [sys.executable, "-m", "tools.mlflow_server", "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    with running(command, f"{address}/health", home, PYTHONPATH=str(REPO)):
        run_id = next(home.glob("mlruns/1/*")).name
        file = f"{address}/get-artifact?run_uuid={run_id}&path=model/file"
        with urllib.request.urlopen(file, timeout=60) as response:
            assert response.read() == b"a model"


def test_locked_database_is_one_line(copy, monkeypatch):
    monkeypatch.setattr(relocation, "_SECONDS", 0.1)
    with sqlite3.connect(copy / "mlflow.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match=r"mlflow.db: .*locked; another process"):
            relocation.relocate(copy / "mlflow.db")
        other.execute("ROLLBACK")
    relocation.relocate(copy / "mlflow.db")


def test_readonly_database_is_one_line(copy):
    with (copy / "mlflow.db").open("r+b") as file:
        file.seek(18)  # the version that a writer must know: SQLite then only reads the file
        file.write(b"\x03")
    with pytest.raises(UserError, match=r"mlflow.db was moved, and cannot be written to"):
        relocation.relocate(copy / "mlflow.db")


@pytest.mark.parametrize("content", [b"", b"no database" * 100])
def test_another_file_is_one_line(stage, tmp_path, content: bytes):
    (tmp_path / "mlflow.db").write_bytes(content)
    result = stage("promote", "--history")
    assert_one_line(result, "MLflow at mlflow.db: ", "MLFLOW_TRACKING_URI")
    assert (tmp_path / "mlflow.db").read_bytes() == content
