"""`make train` interrupted at random moments: the next one works, and what it registered is whole.

The environment variable INTERRUPTIONS sets how many; half are Ctrl-C, half SIGKILL.
"""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml

import sentiment.store
from components.io import records, registry
from components.io.registry import Registered
from tests.system.conftest import clone, environment, run

COUNT = int(os.environ.get("INTERRUPTIONS", "4"))
TRAIN = ["make", "train", "-o", ".venv/installed"]
# a change in a section makes its stage and the later ones run, or come from DVC's cache
CHANGES = [
    *(("ingest", "source", name) for name in ("first.parquet", "second.parquet")),
    *(("count", "max_n", value) for value in (1, 2)),
    *(("merge", "min_df", value) for value in (2, 3)),
    *(("trial", "max_iterations", value) for value in (4, 5)),
    *(("gate", "margin", value) for value in (0.01, 0.02)),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, imdb: pd.DataFrame) -> Path:
    """A clone in which the pipeline ran once, on few reviews."""
    directory = clone(tmp_path_factory.mktemp("interrupted") / "project")
    for seed, name in enumerate(("first.parquet", "second.parquet")):
        table = imdb.sample(1500, random_state=seed)
        table[["text", "label"]].to_parquet(directory / name)
    change(directory, "trial", "candidates", ["default", "max_n=1"])
    change(directory, "gate", "min_accuracy", 0.5)
    change(directory, "ingest", "source", "first.parquet")
    first = run(TRAIN, directory)
    assert first.returncode == 0, first.stdout + first.stderr
    return directory


def change(directory: Path, section: str, key: str, value: object) -> None:
    path = directory / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params[section][key] = value
    path.write_text(yaml.safe_dump(params))


def interrupt(directory: Path, seconds: float, number: signal.Signals) -> None:
    """Start `make train`, and send a signal to all its processes, as a terminal does."""
    process = subprocess.Popen(
        TRAIN,
        cwd=directory,
        env=environment(directory.parent / "home"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # a background process of a shell ignores SIGINT, and its children would, too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    time.sleep(seconds)
    os.killpg(process.pid, number)
    process.wait(timeout=60)


def assert_whole(directory: Path) -> None:
    """Assert that the version that was registered last has the model that was trained last."""
    check = run(["python", "-m", "tools.lock"], directory)
    assert check.returncode == 0, check.stderr
    registered = records.read(directory / "reports/registered.json", Registered)
    client = mlflow.MlflowClient(f"sqlite:///{directory}/mlflow.db")
    version = client.get_model_version(registered.name, registered.version)
    stored = sentiment.store.digest(Path(version.source))
    assert stored == registered.model_digest
    assert stored == sentiment.store.digest(directory / "models/sentiment")
    challenger = registry.alias_version(client, registered.name, registry.CHALLENGER)
    assert challenger is not None
    assert challenger.version == version.version


@pytest.mark.timeout(300 * COUNT)
def test_train_works_after_interruptions(project):
    choose = random.Random(19)
    outcomes = []
    for number in range(COUNT):
        for each in choose.sample(CHANGES, 2):
            change(project, *each)
        sent = (signal.SIGINT, signal.SIGKILL)[number % 2]
        seconds = choose.uniform(1, 30)
        interrupt(project, seconds, sent)
        result = run(TRAIN, project)
        outcomes.append((sent.name, round(seconds, 1), result.returncode))
        assert result.returncode == 0, f"{outcomes}\n{result.stdout}{result.stderr}"
        assert_whole(project)
        print(*outcomes[-1], flush=True)  # progress, for pytest -s
