"""With .env alone, `make retrain` and `make release` work, and a second clone serves the champion.

MLflow is real, has passwords and proxies the artifacts, as DagsHub's does; S3 is a real SeaweedFS
that takes one token for both keys. DagsHub itself is not here. The stages are up to date, so
retrain only pushes; tests/system/test_delivery.py trains.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import sentiment.model
import sentiment.store
from components.io import registry
from pipelines.local import s3_client, s3_server
from tests import delivery
from tests.conftest import free_port, running, tracking_server
from tests.serving import PREDICT, TEXTS, Server
from tests.system.conftest import clone, environment

TOKEN = "0123456789abcdef" * 2  # of the test's own S3 server


@dataclass(frozen=True)
class Released:
    """A clone that was trained and released, the values of its .env, and what make printed."""

    work: Path
    values: dict[str, str]
    storage: dict[str, str]
    output: str


@pytest.fixture(scope="module")
def released(tmp_path_factory, trained):
    directory = tmp_path_factory.mktemp("env")
    (directory / "s3").mkdir()
    pair = {"accessKey": TOKEN, "secretKey": TOKEN}
    identity = {"name": "dvc", "credentials": [pair], "actions": ["Admin"]}
    (directory / "s3/s3.json").write_text(json.dumps({"identities": [identity]}))
    with (
        s3_server(directory / "s3") as storage,
        tracking_server(directory / "mlflow") as tracking,
    ):
        s3_client(storage).create_bucket(Bucket="dvc")
        work = clone(directory / "work")
        commit_outputs(trained, work)
        values = tracking | {
            "DVC_REMOTE": "s3://dvc",
            "DVC_ENDPOINT_URL": storage["AWS_ENDPOINT_URL"],
            "DVC_TOKEN": TOKEN,
        }
        write_env(work, values)
        results = [make(work, target) for target in ("retrain", "release")]
        output = "".join(result.stdout + result.stderr for result in results)
        assert [result.returncode for result in results] == [0, 0], output
        yield Released(work, values, storage, output)


def write_env(work: Path, values: dict[str, str]) -> Path:
    """Write the .env of a clone, which uses the packages of this process."""
    (work / ".venv").mkdir(exist_ok=True)
    (work / ".venv/installed").touch()
    (work / ".env").write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    return work


def commit_outputs(trained, work: Path) -> None:
    """Let DVC take files as the outputs of the stages, and commit the lock."""
    params = yaml.safe_load((work / "params.yaml").read_text())
    params["gate"]["min_accuracy"] = 0.5
    (work / "params.yaml").write_text(yaml.safe_dump(params))
    stages = yaml.safe_load((work / "dvc.lock").read_text())["stages"]
    rungs = [name.removeprefix("trial@") for name in stages if name.startswith("trial@")]
    outputs = {
        **{f"data/{name}": getattr(trained, name) for name in ("train", "valid", "test")},
        **{"data/reviews.parquet": trained.reviews, "models/sentiment": trained.model},
        **{"data/counts": trained.counts, "data/matrix": trained.matrix},
        **{f"models/trials/{rung}": trained.trials for rung in rungs},
        **{f"models/selection/{rung}.json": trained.selection for rung in rungs},
        **{f"reports/{path.name}": path for path in (trained.metrics, trained.findings)},
        **{"reports/plots": trained.plots, "reports/predictions.parquet": trained.predictions},
        "reports/validation.json": trained.metrics,  # nothing reads it
    }
    for name, source in outputs.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, work / name)
    for command in (
        ["dvc", "repro", "--quiet", "--single-item", "source", "suite"],  # they always run
        ["dvc", "commit", "--quiet", "--force", "--with-deps", "evaluate"],
    ):
        subprocess.run(command, cwd=work, env=clean(work), check=True)
    delivery.git(work, "commit", "--quiet", "--all", "--message", "Train")


def clone_again(released: Released, directory: Path, **changes: str) -> Path:
    """Return a second clone, whose .env differs by ``changes``."""
    work = directory / "clone"
    delivery.git(directory, "clone", "--quiet", str(released.work), str(work))
    return write_env(work, released.values | changes)


def clean(work: Path) -> dict[str, str]:
    values = environment(work.parent / "home")
    return {key: value for key, value in values.items() if not key.startswith(("AWS_", "DVC_"))}


def make(work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=work,
        env=clean(work),
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_the_version_is_registered_with_its_files(released, monkeypatch, tmp_path):
    for key, value in released.values.items():
        monkeypatch.setenv(key, value)
    with registry.connected() as client:
        version = registry.alias_version(client, "sentiment", "champion")
        assert str(version.version) == "1"
        assert client.get_run(version.run_id).info.artifact_uri.startswith("mlflow-artifacts:/")
        folder = registry.download(client, version, tmp_path)
        assert registry.moves(client, "sentiment")[0].by == "admin"
    assert sentiment.store.digest(folder) == sentiment.store.digest(
        released.work / "models/sentiment"
    )
    assert not (released.work / "mlflow.db").exists()


def test_the_data_are_in_the_remote(released):
    listed = s3_client(released.storage).list_objects_v2(Bucket="dvc")["Contents"]
    cached = (released.work / ".dvc/cache/files/md5").rglob("*")
    assert len(listed) == len([path for path in cached if path.is_file()]) > 10


def test_no_password_is_printed_or_stored(released):
    hidden = [released.values["MLFLOW_TRACKING_PASSWORD"], TOKEN]
    assert not [each for each in hidden if each in released.output]
    kept = [path for path in released.work.rglob("*") if path.is_file() and path.name != ".env"]
    # the code of the tests has the server's password
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]
    made = [
        path for path in kept if path.relative_to(released.work).parts[0] in (".dvc", "reports")
    ]
    assert not [path for path in made if hidden[0].encode() in path.read_bytes()]


def test_a_second_clone_serves_the_champion(released, tmp_path):
    work = clone_again(released, tmp_path)
    pulled = make(work, "pull")
    assert pulled.returncode == 0, pulled.stderr
    model = sentiment.store.load(work / "models/sentiment")
    http, grpc = free_port(), free_port()
    # env -i: the server sees the clone's environment only
    command = ["env", "-i", *(f"{key}={value}" for key, value in clean(work).items())]
    command += ["make", "serve", f"HTTP_PORT={http}", f"GRPC_PORT={grpc}"]
    address = f"http://127.0.0.1:{http}"
    with running(command, f"{address}{PREDICT}", work) as log:
        server = Server(address, f"127.0.0.1:{grpc}", log)
        body = json.dumps({"instances": TEXTS}).encode()
        status, answer, headers = server.ask(PREDICT, body)
    assert status == 200
    assert headers["x-model-version"] == "1"
    probabilities = [row["probability"] for row in answer["predictions"]]
    assert probabilities == sentiment.model.probabilities(model, TEXTS)[:, 1].tolist()


def test_a_wrong_token_names_its_variable(released, tmp_path):
    result = make(clone_again(released, tmp_path, DVC_TOKEN="wrong-horse-1"), "pull")
    assert result.returncode == 2
    assert "dvc pull: see DVC_REMOTE and DVC_TOKEN" in result.stderr
    assert "wrong-horse-1" not in result.stdout + result.stderr


def test_a_wrong_password_names_its_variable(released, tmp_path):
    result = make(
        clone_again(released, tmp_path, MLFLOW_TRACKING_PASSWORD="wrong-horse-1"), "serve"
    )
    assert result.returncode == 2
    (line,) = [each for each in result.stderr.splitlines() if "serving: error: " in each]
    assert "MLFLOW_TRACKING_PASSWORD are refused" in line
    assert "wrong-horse-1" not in result.stdout + result.stderr


def test_an_unset_variable_is_named(released, tmp_path):
    work = clone_again(released, tmp_path)
    (work / ".env").unlink()
    result = make(work, "pull")
    assert result.returncode == 2
    assert "DVC_REMOTE (not set)" in result.stderr
    assert "DVC_TOKEN (not set)" in result.stderr
