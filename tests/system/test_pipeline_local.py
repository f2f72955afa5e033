"""Run `make pipeline-local`: a container for each task, real MLflow and S3."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from functools import partial
from itertools import groupby
from pathlib import Path

import mlflow
import pandas as pd
import pytest

import sentiment.store
from components import count, evaluate, ingest, merge, prepare, select, train, trial
from components.io import candidates, matrices, processes, records, registry, reviews
from components.reading.options import Options
from pipelines.inputs import PARAMS
from pipelines.local import mlflow_server, s3_client, s3_server
from tests.conftest import REPO, free_port
from tests.system.conftest import environment
from tests.system.test_images import CONFINED, podman


def command(image: str, directory: Path, *arguments: str) -> list[str]:
    command = [sys.executable, "-m", "pipelines.local", "--image", image]
    return [*command, "--directory", str(directory), *arguments]


def run_local(image: str, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(image, directory, *arguments),
        cwd=REPO,
        env=environment(directory.parent / "home"),
        capture_output=True,
        text=True,
        timeout=900,
    )


def succeeded_tasks(output: str) -> list[str]:
    """Return the tasks that succeeded, in order, the tasks of a loop once.

    kfp.local may report only one of two tasks that end at the same moment.
    """
    plain = re.sub(r"\x1b\[\d+m", "", output)
    names = re.findall(r"Task '([\w-]+)' finished with status SUCCESS", plain)
    return [name for name, _ in groupby(names)]


def registry_state(directory: Path) -> dict[str, object]:
    """Return the registry's versions, aliases and moves of the champion."""
    client = mlflow.MlflowClient(f"sqlite:///{directory}/mlflow.db")
    alias = partial(registry.alias_version, client, "sentiment")
    champion, challenger = alias("champion"), alias("challenger")
    return {
        "versions": [str(v.version) for v in client.search_model_versions("name = 'sentiment'")],
        "champion": champion and str(champion.version),
        "challenger": challenger and str(challenger.version),
        "moves": [(move.before, move.after) for move in registry.moves(client, "sentiment")],
        "status": [v.status for v in client.search_model_versions("name = 'sentiment'")],
    }


def artifact(directory: Path, name: str) -> Path:
    """Return an artifact of the only run in a directory, by task and output."""
    (path,) = (directory / "runs").glob(f"*/{name}")
    return path


def newest(directory: Path, name: str) -> Path:
    """Return an artifact of the newest run in a directory."""
    return max((directory / "runs").glob(f"*/{name}"), key=lambda path: path.stat().st_mtime)


def leftovers(directory: Path) -> str:
    label = f"label=sentiment.pipeline-local={directory}"
    listed = ["podman", "ps", "--all", "--quiet", "--filter", label]
    return subprocess.run(listed, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory) -> Path:
    """Run the pipeline as `make pipeline-local` does, and return its directory."""
    directory = tmp_path_factory.mktemp("whole") / "state"
    recipe = subprocess.run(
        ["make", "--dry-run", "pipeline-local", "-o", ".venv/installed"],
        cwd=REPO,
        env=environment(directory.parent / "home"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert recipe.stdout.split() == ["python", "-m", "pipelines.local", "--image", images["train"]]
    result = run_local(images["train"], directory)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    tasks = succeeded_tasks(result.stdout)
    assert tasks == [
        *("ingest", "validate", "prepare", "count", "merge", "trial", "select"),
        *("trial-2", "select-2", "trial-3", "select-3", "train"),
        *("evaluate", "register", "gate", "promote"),
    ]
    trials = json.loads(artifact(directory, "train/model/trials.json").read_text())
    assert [each["budget"] for each in trials] == [1.0] * 2 + [0.5] * 4 + [0.25] * 8
    assert "promotion  promoted" in result.stdout
    assert not leftovers(directory)
    return directory


def test_the_receiver_image_exports_metrics(whole, images, tmp_path):
    port = free_port()
    name, address = f"sentiment-test-{port}", f"http://127.0.0.1:{port}"
    command = ["podman", "run", "--name", name, *CONFINED, "--env", "MLFLOW_TRACKING_URI"]
    command += ["--entrypoint", "python", images["receiver"], "-m", "monitoring.exporter"]
    command += ["--port", str(port)]
    ready = partial(processes.answers, f"{address}/favicon.ico")
    try:
        with (
            mlflow_server(whole, {}) as tracking,
            processes.running(command, ready, tmp_path / "log", tracking),
        ):
            with urllib.request.urlopen(f"{address}/metrics", timeout=60) as response:
                lines = response.read().decode().splitlines()
            podman("stop", "--time", 20, name)
        code = podman("inspect", "--format", "{{.State.ExitCode}}", name)
    finally:
        subprocess.run(["podman", "rm", "--force", "--ignore", name], capture_output=True)
    namespace, service = 'namespace="sentiment"', 'service="sentiment"'
    assert f'pipeline_source_up{{{namespace},{service},source="mlflow"}} 1.0' in lines
    assert f"pipeline_version_count{{{namespace},{service}}} 1.0" in lines
    promoted = f'{{{namespace},outcome="promoted",{service}}}'
    assert f"pipeline_decision_count_total{promoted} 1.0" in lines
    # process 1 of a container ignores SIGTERM unless it has a handler
    assert code.strip() == "0"


def test_functions_dvc_and_containers_agree(whole, demo, tmp_path):
    """The same data and parameters give the same metrics and the same model bytes."""
    clone, _ = demo
    dvc_metrics = json.loads((clone / "reports/metrics.json").read_text())
    dvc_digest = sentiment.store.digest(clone / "models/sentiment")

    ingest.ingest(Options(PARAMS["ingest"]["source"]), tmp_path / "reviews.parquet")
    splits = {name: tmp_path / name for name in prepare.SPLITS}
    prepare.prepare(tmp_path / "reviews.parquet", splits, **PARAMS["prepare"])
    count.count(splits["train"], splits["valid"], PARAMS["count"]["max_n"], tmp_path / "counts")
    least, stemmers = (PARAMS["merge"][name] for name in ("min_df", "stemmers"))
    merge.merge([tmp_path / "counts"], least, tmp_path / "matrix", stemmers=stemmers)
    matrix, selections = matrices.load(tmp_path / "matrix"), []
    names = PARAMS["trial"]["candidates"]
    for key, rung in PARAMS["rungs"].items():
        tried = [candidates.parse(name) for name in names]
        trial.trial(matrix, tried, tmp_path / "trials" / key, rung["trial"]["budget"])
        selections.append(tmp_path / f"{key}.json")
        selection = select.select([tmp_path / "trials" / key], rung["select"]["keep"])
        records.write(selections[-1], selection)
        names = selection.selected
    train.train(matrix, selections, tmp_path / "model")
    metrics, _, _ = evaluate.evaluate(
        tmp_path / "model", reviews.labelled(splits["test"]), tmp_path / "predictions.parquet"
    )

    assert metrics == dvc_metrics
    assert sentiment.store.digest(tmp_path / "model") == dvc_digest
    assert json.loads(artifact(whole, "evaluate/metrics").read_text()) == dvc_metrics
    assert sentiment.store.digest(artifact(whole, "train/model")) == dvc_digest
    verdicts = [artifact(whole, "gate/verdict"), clone / "reports/verdict.json"]
    first, second = (json.loads(path.read_text()) for path in verdicts)
    assert first == second
    client = mlflow.MlflowClient(f"sqlite:///{whole}/mlflow.db")
    version = registry.alias_version(client, "sentiment", "champion")
    assert version.tags["model_digest"] == dvc_digest


def test_registered_artifacts_are_on_s3(whole):
    client = mlflow.MlflowClient(f"sqlite:///{whole}/mlflow.db")
    version = registry.alias_version(client, "sentiment", "champion")
    assert version.source.startswith("s3://mlflow/")
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", version.tags["git_commit"])


def test_secrets_are_in_no_artifact_or_log(whole):
    keys = json.loads((whole / "s3/s3.json").read_text())["identities"][0]["credentials"][0]
    assert oct((whole / "s3/s3.json").stat().st_mode)[-3:] == "600"
    for path in [*(whole / "runs").rglob("*"), *whole.glob("*.log")]:
        if path.is_file():
            assert keys["secretKey"].encode() not in path.read_bytes(), path


@pytest.fixture(scope="module")
def small(imdb, tmp_path_factory) -> Path:
    """Return a file of 3,000 shuffled reviews."""
    path = tmp_path_factory.mktemp("small") / "reviews.csv"
    imdb.sample(3000, random_state=0)[["text", "label"]].to_csv(path, index=False)
    return path


def small_parameters(small: Path) -> list[str]:
    return [
        *(
            "--param",
            f"source={small}",
            "--param",
            'candidates=["default", "max_n=1"]',
            "--param",
            "max_n=2",
        ),
        *("--param", "min_accuracy=0.5"),
    ]


def test_a_failed_stage_stops_the_run(images, small, tmp_path):
    directory = tmp_path / "state"
    arguments = [*small_parameters(small), "--param", "min_rows=5000"]
    result = run_local(images["train"], directory, *arguments)
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if ": error: " in line]
    assert line == "pipeline-local: error: task validate failed; see above"
    assert "at least 5000 wanted" in result.stdout
    assert succeeded_tasks(result.stdout) == ["ingest"]
    assert registry_state(directory)["versions"] == []
    assert not leftovers(directory)


def test_a_run_killed_twice_resumes(images, small, tmp_path):
    directory = tmp_path / "state"
    for task in ("register", "promote"):
        process = subprocess.Popen(
            command(images["train"], directory, *small_parameters(small)),
            cwd=REPO,
            env=environment(tmp_path / "home"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if "Executing task" in line and f"'{task}'" in re.sub(r"\x1b\[\d+m", "", line):
                break
        else:
            pytest.fail(f"{task} did not start")
        time.sleep(2.5)  # into the task's work
        process.send_signal(signal.SIGKILL)
        process.wait()
    result = run_local(images["train"], directory, *small_parameters(small))
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    state = registry_state(directory)
    assert state["versions"] == ["1"]
    assert state["status"] == ["READY"]
    assert state["champion"] == state["challenger"] == "1"
    assert set(state["moves"]) == {("none", "1")}
    assert not leftovers(directory)


def event(number: int, text: str, day: int) -> str:
    """Return a captured prediction, as the predictor writes it."""
    data = {"request_id": f"r{number}", "index": 0, "sample": 1.0, "text": text}
    data |= {"label": "positive", "probabilities": {"negative": 0.4, "positive": 0.6}}
    event = {"type": "sentiment.prediction", "source": "/models/sentiment/versions/1"}
    return json.dumps(event | {"time": f"2026-01-0{day}T00:00:00+00:00", "data": data}) + "\n"


def test_monitoring_trains_only_with_new_labels(whole, images, tmp_path):
    captured = tmp_path / "captured.jsonl"

    def monitor(texts: pd.Series, day: int) -> list[str]:
        captured.write_text("".join(event(n, text, day) for n, text in enumerate(texts)))
        options = ["--pipeline", "monitoring"]
        for name, value in (
            ("captured", captured),
            ("queues", "s3://inputs/queues/"),
            ("labelled", "s3://inputs/labelled.parquet"),
            ("source", "builtin"),
        ):
            options += ["--param", f"{name}={value}"]
        result = run_local(images["train"], whole, *options)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return succeeded_tasks(result.stdout)

    # test reviews: the model is surer of those that it was trained on
    alike = reviews.read(artifact(whole, "prepare/test"))["text"]
    # no task waits for the queue, so that it may run at any time; its files are read below
    only_looked = {"monitor", "join", "decide"}
    assert {*monitor(alike.sample(1000, random_state=0), 1)} - {"queue"} == only_looked
    ingest.ingest(Options("builtin:rotten_tomatoes"), tmp_path / "rt.parquet")
    shifted = reviews.read(tmp_path / "rt.parquet").sample(1000, random_state=0)
    tasks = monitor(shifted["text"], 2)
    assert {*tasks} - {"queue"} == only_looked  # drift, and nothing new to learn from
    names = shifted["label"].map(dict(enumerate(reviews.CLASSES)))
    answers = dict(zip(shifted["text"], names, strict=True))
    with s3_server(whole / "s3") as storage:
        client = s3_client(storage)
        listed = client.list_objects_v2(Bucket="inputs", Prefix="queues/")["Contents"]
        first, name = sorted({each["Key"].split("/")[1] for each in listed})
        assert first < name == "20260102T000000"
        content = client.get_object(Bucket="inputs", Key=f"queues/{name}/items.jsonl")["Body"]
        items = [json.loads(line) for line in content.read().splitlines()]
        lines = (json.dumps(item | {"label": answers[item["text"]]}) + "\n" for item in items)
        key = f"queues/{name}/labels.jsonl"
        client.put_object(Bucket="inputs", Key=key, Body="".join(lines).encode())
    tasks = monitor(shifted["text"], 2)
    assert {*only_looked, "ingest", "validate", "gate"} <= {*tasks}
    assert tasks.index("decide") < tasks.index("ingest")
    state = registry_state(whole)
    assert state["versions"] == ["2", "1"]
    metrics = json.loads(newest(whole, "evaluate/metrics").read_text())
    assert 20 < metrics["labelled_rows"] < 70  # a fifth of 200


def test_missing_image_or_engine_is_named(images, tmp_path):
    result = run_local("localhost/none:1", tmp_path / "state")
    assert result.returncode == 1
    assert result.stderr.strip().endswith(
        "--image localhost/none:1: no such image here; make images builds it"
    )
    away = environment(tmp_path / "home") | {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    result = subprocess.run(
        command(images["train"], tmp_path / "state"),
        cwd=REPO,
        env=os.environ | away,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if ": error: " in line]
    assert line.startswith("pipeline-local: error: container engine: ")
