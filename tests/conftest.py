"""Shared fixtures: real reviews, the stages run on them, and real servers on loopback."""

import http
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pandas as pd
import pytest

from components import count, evaluate, ingest, merge, prepare, select, train, trial
from components.io import candidates, matrices, processes, records, reviews
from components.io.files import write_json
from components.io.models import load_trials
from components.reading.options import Options
from components.report import plots
from sentiment.kernel import build
from tests import forked, forked_serving

Process = subprocess.Popen[bytes] | forked_serving.Predictor
REPO = Path(__file__).parent.parent
needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
LONGEST = (
    *("test_aws_emulator", "test_delivery", "test_demo", "test_deploy_to_a_stand_in_cluster"),
    *("test_faults", "test_forget_cache", "test_registry", "test_rules", "test_sparse_traffic"),
)
CANDIDATES = ("idf_power=1", "default")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each process of xdist whole files, the longest first.

    Those with images take longest. The first of them builds the images, and the others would wait
    for it; so the other processes start with the longest files without images.
    """
    building = {item.path for item in items if "images" in getattr(item, "fixturenames", ())}

    def key(item: pytest.Item) -> tuple[bool, bool, bool]:
        long = item.path.stem in LONGEST
        return not long, item.path not in building, "system" not in item.path.parts

    items.sort(key=key)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name}.{item.path.stem}"))


def free_port() -> int:
    """Return a port that nothing listens on, below 50000: some servers want it plus 10000 too."""
    while True:
        with socket.socket() as probe, socket.socket() as beyond:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1] - 15000
            try:
                beyond.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def wait_for(url: str, server: Process, log: Path, seconds: float = 90) -> None:
    """Wait until ``url`` answers anything at all but that it is not ready."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.SERVICE_UNAVAILABLE:
                return
            time.sleep(0.1)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer:\n{log.read_text()[-3000:]}")


def running(
    command: list[str], url: str, directory: Path, **environment: str
) -> AbstractContextManager[Path]:
    """Run a server until the block ends and yield the file of its output."""

    def start(output: IO[bytes]) -> subprocess.Popen[bytes]:
        given = os.environ | environment
        return subprocess.Popen(command, cwd=directory, env=given, stdout=output, stderr=output)

    return started(start, url, directory)


@contextmanager
def started(start: Callable[[IO[bytes]], Process], url: str, directory: Path) -> Iterator[Path]:
    """Do as running does, with a function that starts the server and takes its output."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "server.log"
    with log.open("wb") as output:
        server = start(output)
        try:
            wait_for(url, server, log)
            yield log
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@contextmanager
def tracking_server(
    directory: Path, *arguments: str, **environment: str
) -> Iterator[dict[str, str]]:
    """Run a real `mlflow server` with its basic-auth app; yield address and credentials."""
    directory.mkdir(exist_ok=True)
    (directory / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///auth.db\n"
        "admin_username = admin\nadmin_password = correct-horse-1\n"
        "auth_cache_ttl_seconds = 60\n"  # else each request hashes the password, for 0.2 s of CPU
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    command += ["--backend-store-uri", "sqlite:///server.db", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port), *arguments]
    address = f"http://127.0.0.1:{port}"
    environment |= processes.MLFLOW_WITHOUT_JOBS | {
        "MLFLOW_AUTH_CONFIG_PATH": str(directory / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": os.urandom(16).hex(),
    }
    with running(command, f"{address}/health", directory, **environment):
        yield {
            "MLFLOW_TRACKING_URI": address,
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": "correct-horse-1",
        }


Stage = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Run a stage's command line in a directory of its own, as DVC and Kubeflow do."""

    def run(
        name: str, *arguments: object, cwd: Path = tmp_path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        given = os.environ | {"PYTHONPATH": str(REPO)} | environment
        return forked.run(f"components.{name}", [*map(str, arguments)], cwd, given, timeout=600)

    return run


def assert_one_line(
    result: subprocess.CompletedProcess[str], *words: str, exit_code: int = 1
) -> None:
    """Assert that a command failed with one line of error that contains ``words``."""
    assert result.returncode == exit_code, result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    errors = [line for line in result.stderr.splitlines() if ": error: " in line]
    assert len(errors) == 1, result.stderr
    for word in words:
        assert word in errors[0]


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the kernel to a directory of its own."""
    path = tmp_path_factory.mktemp("kernel") / "kernel.so"
    command = build.compiler()
    assert command is not None
    build.build(command, path)
    return path


@pytest.fixture(scope="session")
def imdb(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The built-in reviews, all 25,000."""
    path = tmp_path_factory.mktemp("imdb") / "reviews.parquet"
    ingest.ingest(Options("builtin"), path)
    return reviews.read(path)


@dataclass(frozen=True)
class Trained:
    """Files of the stages up to evaluate, run on 3,000 real reviews."""

    directory: Path
    reviews: Path
    train: Path
    valid: Path
    test: Path
    counts: Path
    matrix: Path
    trials: Path
    selection: Path
    model: Path
    metrics: Path
    findings: Path
    plots: Path
    predictions: Path

    def registration(self) -> list[object]:
        """Return the arguments of register."""
        return [
            *("--model", self.model, "--metrics", self.metrics, "--findings", self.findings),
            *("--plots", self.plots, "--test", self.test, "--card", "card.md"),
        ]


def run_stages(
    table: pd.DataFrame,
    directory: Path,
    given: Sequence[str] = CANDIDATES,
    max_n: int = 2,
    min_df: int = 2,
    classes: Sequence[str] = reviews.CLASSES,
    behaviour: str = "builtin",
) -> Trained:
    paths = Trained(
        directory,
        directory / "reviews.parquet",
        *(directory / name for name in ("train", "valid", "test", "counts", "matrix", "trials")),
        directory / "selection.json",
        directory / "model",
        directory / "metrics.json",
        directory / "findings.json",
        directory / "plots",
        directory / "predictions.parquet",
    )
    reviews.write(paths.reviews, table, classes)
    splits = {name: getattr(paths, name) for name in prepare.SPLITS}
    prepare.prepare(paths.reviews, splits, valid_fraction=0.1, test_fraction=0.2, shard_rows=1000)
    fit(paths, given, max_n, min_df)
    test = reviews.labelled(paths.test)
    values, findings, scored = evaluate.evaluate(paths.model, test, paths.predictions)
    described = evaluate.describe(paths.model, paths.train, behaviour)
    write_json(paths.metrics, values)
    write_json(paths.findings, findings | described)
    paths.plots.mkdir()
    labels, names = scored.table["label"].to_numpy(), reviews.classes(paths.test)
    plots.write_curves(labels, scored.p, names, paths.plots)
    plots.write_trials(load_trials(paths.model), paths.plots)
    return paths


def fit(paths: Trained, given: Sequence[str], max_n: int, min_df: int) -> None:
    """Run the stages from count to train."""
    count.count(paths.train, paths.valid, max_n, paths.counts)
    merge.merge([paths.counts], min_df, paths.matrix)
    matrix = matrices.load(paths.matrix)
    paths.trials.mkdir()
    trial.trial(matrix, [candidates.parse(name) for name in given], paths.trials)
    records.write(paths.selection, select.select([paths.trials], keep=1))
    train.train(matrix, [paths.selection], paths.model)


@pytest.fixture(scope="session")
def trained(imdb: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run_stages(imdb.iloc[::8][:3000], tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The built-in set of three classes."""
    folder = tmp_path_factory.mktemp("three")
    ingest.ingest(Options("builtin:remarks"), folder / "remarks.parquet")
    classes = reviews.classes(folder / "remarks.parquet")
    return run_stages(reviews.read(folder / "remarks.parquet"), folder, classes=classes)


@pytest.fixture(scope="session")
def trained_worse(imdb: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The same reviews, learned with so few n-grams, of such weights, that it shows."""
    return run_stages(
        imdb.iloc[::8][:3000],
        tmp_path_factory.mktemp("worse"),
        given=["idf_power=0,ratio_power=0"],
        max_n=1,
        min_df=150,
    )
