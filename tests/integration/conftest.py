"""A predictor and registries that tests share, expected answers, and a PostgreSQL server."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import sentiment.model
import sentiment.store
from components import gate, promote, register
from components.io import accounts, creation, reviews
from components.io.files import read_json
from components.verdict import GateLimits
from tests.conftest import Trained, free_port
from tests.serving import TEXTS, serving

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(scope="session")
def server(trained, tmp_path_factory):
    """A predictor of version 7."""
    directory = tmp_path_factory.mktemp("serving")
    with serving(trained.model, directory, "--model_version", "7") as server:
        yield server


@pytest.fixture(scope="session")
def offline(trained) -> list[float]:
    model = sentiment.store.load(trained.model)
    return sentiment.model.probabilities(model, TEXTS)[:, 1].tolist()


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory) -> Path:
    """A registry's SQLite file, to copy: MLflow's migrations take 1.6 s of CPU."""
    database = tmp_path_factory.mktemp("empty") / "registry.db"
    creation.create(database)
    return database


@pytest.fixture
def own_registry(empty_registry, tmp_path, monkeypatch) -> None:
    """Set MLFLOW_TRACKING_URI to an empty registry in ``tmp_path``.

    The path is absolute, as MLflow keeps a store open for each address that it has seen.
    """
    shutil.copy(empty_registry, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry.db")


@pytest.fixture(scope="session")
def promoted(trained: Trained, empty_registry, tmp_path_factory) -> Path:
    """A folder with a registry, and the champion in it, to copy."""
    folder = tmp_path_factory.mktemp("promoted")
    shutil.copy(empty_registry, folder)
    test = [reviews.read(trained.test)]
    metrics, findings = read_json(trained.metrics), read_json(trained.findings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/registry.db")
        registered, _ = register.register(
            *(trained.model, metrics, findings, trained.plots, reviews.digest(test)),
            name="sentiment",
            account=accounts.RowAccount([], {}, "learned"),
        )
        verdict = gate.gate(registered, test, GateLimits(min_accuracy=0.5))
        assert promote.promote(verdict).outcome == "promoted"
    return folder


@pytest.fixture
def champion(promoted, tmp_path, monkeypatch) -> None:
    """Set MLFLOW_TRACKING_URI to a registry with a champion in ``tmp_path``."""
    shutil.copytree(promoted, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry.db")


@pytest.fixture(scope="module")
def postgres() -> Iterator[dict[str, str]]:
    """Run a server and yield the values of the secret `mlflow`."""
    if not BINARIES:
        pytest.skip("needs postgresql: make packages")
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))  # only root can read pytest's own
    # PostgreSQL refuses to run as root
    as_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
    as_user = as_user if os.getuid() == 0 else []
    if as_user:
        directory.chmod(0o755)
        shutil.chown(directory, "postgres")
    data, password_file, port = directory / "data", directory / "password", free_port()
    password_file.write_text("secret")
    password_file.chmod(0o644)
    initdb = ["-D", str(data), "-U", "mlflow", "-A", "scram-sha-256", f"--pwfile={password_file}"]
    start = ["-D", str(data), "-o", f"-p {port} -k {directory} -h 127.0.0.1", "-w", "start"]
    subprocess.run(
        [*as_user, str(BINARIES[-1] / "initdb"), *initdb], check=True, capture_output=True
    )
    control = [*as_user, str(BINARIES[-1] / "pg_ctl")]
    subprocess.run([*control, *start, "-l", str(directory / "log")], check=True, timeout=60)
    try:
        yield {
            **{"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGSSLMODE": "disable"},
            **{"PGUSER": "mlflow", "PGPASSWORD": "secret", "PGDATABASE": "postgres"},
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "signs forms",
        }
    finally:
        subprocess.run([*control, "-D", str(data), "-m", "fast", "-w", "stop"], check=True)
        shutil.rmtree(directory)
