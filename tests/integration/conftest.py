"""A predictor that tests share, its expected answers, and a PostgreSQL server."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import sentiment.model
import sentiment.store
from tests.conftest import free_port
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
