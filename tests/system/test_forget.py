"""The whole command in a clone: killed while it trains, run again, and then compared."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

import sentiment.store
from components.io.reviews import identity
from tests.system.conftest import clone, environment, run

FORGET = [sys.executable, "-m", "components.forget"]
REPRO = [sys.executable, "-m", "tools.repro"]


def configure(directory: Path, source: str) -> None:
    path = directory / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["ingest"]["source"] = source
    params["trial"]["candidates"] = ["default", "max_n=1"]
    params["gate"]["min_accuracy"] = 0.5
    path.write_text(yaml.safe_dump(params))


def require(command: list[str], directory: Path) -> str:
    result = run(command, directory)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def objects(*folders: Path) -> set[str]:
    return {path.name for folder in folders for path in folder.glob("files/md5/*/*")}


def holding(forgotten: str, *folders: Path) -> list[Path]:
    """Return all tables that hold a text, wherever they are beneath the folders."""
    found = []
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            if file.read(4) != b"PAR1":
                continue
        table = pq.read_table(path)
        texts = table["text"].to_pylist() if "text" in table.column_names else []
        if any(identity(text) == forgotten for text in texts):
            found.append(path)
    return found


def certificate(directory: Path) -> dict:
    newest = sorted((directory / "reports/forgotten").glob("*.json"))[-1]
    return json.loads(newest.read_text())


@pytest.mark.timeout(1800)
def test_a_text_is_forgotten(tmp_path, imdb: pd.DataFrame):
    table = imdb.sample(1200, random_state=3)[["text", "label"]]
    text = table["text"].iloc[7]
    name, others = identity(text), table[table["text"] != text]
    project = clone(tmp_path / "project")
    cache, remote = project / ".dvc/cache", project / "dvcstore"
    table.to_csv(project / "mine.csv", index=False)
    others.iloc[100:].to_csv(project / "others.csv", index=False)
    (project / "text.txt").write_text(text)

    # commit data without the text; then run with the text twice, and commit the first of these runs
    configure(project, "others.csv")
    require(REPRO, project)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    require([*git, "commit", "-qam", "others"], project)
    unrelated = objects(cache)
    configure(project, "mine.csv")
    require(REPRO, project)
    require([*git, "commit", "-qam", "mine"], project)
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("max_n: 3", "max_n: 2"))
    require(REPRO, project)
    require([sys.executable, "-m", "dvc", "push", "--quiet"], project)
    before = sentiment.store.digest(project / "models/sentiment")
    assert len(holding(name, project / "data", cache, remote)) >= 6

    captured = project / "captured/2026-11-20/a.jsonl"
    captured.parent.mkdir(parents=True)
    event = {"data": {"request_id": "r1", "index": 0, "text": text.upper()}}
    captured.write_text(json.dumps(event) + "\n")
    with subprocess.Popen(
        [*FORGET, "--text-file", "text.txt", "--captured", "captured"],
        cwd=project,
        env=environment(tmp_path / "home"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("prepare: train:"):
                os.killpg(process.pid, signal.SIGKILL)
    assert not captured.exists()
    assert certificate(project)["finished"] is False
    assert holding(name, cache)

    require([*FORGET, "--listed", "--captured", "captured", "--remotes"], project)
    made = certificate(project)
    assert made["finished"] is True
    assert made["without"] is True
    assert made["identities"] == [name]
    assert not holding(name, project / "data", project / "reports", cache, remote)
    assert unrelated <= objects(cache)
    after = sentiment.store.digest(project / "models/sentiment")
    assert made["model_before"]["model_digest"] == before != after
    assert made["model_after"]["model_digest"] == after
    left = {each["place"]: each["why"] for each in made["left"]}
    assert "forget does not edit" in left["mine.csv"]
    client = mlflow.MlflowClient(f"sqlite:///{project}/mlflow.db")
    fitted = {each.version: each.tags for each in client.search_model_versions("")}
    assert len(fitted) == 4
    named = {place.split()[2]: why for place, why in left.items() if "sentiment version" in place}
    assert {*named} == {"2", "3"}
    assert all("was fitted with it" in why for why in named.values())

    # what DVC holds of other commits is whole, and the model is that of a run without the text
    require(["git", "stash", "-q"], project)
    require(["git", "checkout", "-q", "HEAD~1"], project)
    require([sys.executable, "-m", "dvc", "checkout", "--quiet"], project)
    others.to_csv(project / "never.csv", index=False)
    configure(project, "never.csv")
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("max_n: 3", "max_n: 2"))
    (project / "forgotten.csv").unlink()
    require([*REPRO, "train"], project)
    assert sentiment.store.digest(project / "models/sentiment") == after
