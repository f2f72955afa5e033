"""register: killed and failing runs, files that are gone, and inputs that are not evaluate's."""

import json
import shutil
from dataclasses import replace

import mlflow
import pytest

from components import register
from components.errors import UserError
from components.io import accounts, owner, registry, reviews, runs
from components.io.files import read_json
from tests.conftest import assert_one_line


@pytest.fixture
def client(tmp_path, monkeypatch) -> mlflow.MlflowClient:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with registry.connected(create=True) as client:
        yield client


def run_register(trained) -> str:
    metrics, findings = read_json(trained.metrics), read_json(trained.findings)
    digest = reviews.digest([reviews.read(trained.test)])
    arguments = trained.model, metrics, findings, trained.plots, digest, "sentiment"
    return register.register(*arguments)[0].version


def statuses(client: mlflow.MlflowClient) -> dict[str, str]:
    experiment = client.get_experiment_by_name("sentiment").experiment_id
    return {run.info.run_id: run.info.status for run in client.search_runs([experiment])}


def test_runs_of_a_killed_process_are_closed(client, trained):
    """Not those of a live process, nor a run that the user has open in this experiment."""
    experiment = registry.experiment_id(client, "sentiment")
    dead, live = owner.tags() | {owner.STARTED: "1"}, owner.tags()
    old = {"model_digest": "of an earlier release, which set no tags of its process"}
    opened = [
        client.create_run(experiment, tags=tags).info.run_id for tags in (dead, live, {}, old)
    ]
    nested = dead | {"mlflow.parentRunId": opened[0]}
    opened.append(client.create_run(experiment, tags=nested).info.run_id)
    run_register(trained)
    found = statuses(client)
    expected = ["KILLED", "RUNNING", "RUNNING", "RUNNING", "KILLED"]
    assert [found.pop(run_id) for run_id in opened] == expected
    assert set(found.values()) == {"FINISHED"}


def test_failed_registration_leaves_no_open_run(client, trained, monkeypatch):
    def fail(*_):
        raise OSError("no space")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(runs, "_create_model", fail)
        run_register(trained)
    assert sorted(statuses(client).values()) == ["FAILED", "FINISHED", "FINISHED"]
    assert run_register(trained) == "1"


def test_second_registration_gives_way(client, trained, monkeypatch):
    """It has looked for a version before the first one made its own."""
    assert run_register(trained) == "1"
    find, calls = register._find, []

    def find_late(*arguments):
        calls.append(arguments)
        return find(*arguments) if len(calls) > 1 else None

    monkeypatch.setattr(register, "_find", find_late)
    assert run_register(trained) == "1"
    assert registry.versions(client, "sentiment") == ["1"]
    assert list(statuses(client).values()) == ["FINISHED"] * 3


def test_version_without_files_is_made_again(client, trained, tmp_path, caplog):
    assert run_register(trained) == "1"
    shutil.rmtree(tmp_path / "mlruns")
    assert run_register(trained) == "2"
    assert "sentiment version 1 is this model, and its files are gone" in caplog.text
    assert run_register(trained) == "2"


def test_deleted_experiment_is_named(client, trained):
    experiment = registry.experiment_id(client, "sentiment")
    client.delete_experiment(experiment)
    with pytest.raises(UserError, match=f"experiments restore --experiment-id {experiment}"):
        run_register(trained)


def test_missing_plots_are_one_line(stage, trained, tmp_path):
    wrong = replace(trained, plots=tmp_path / "nope")
    result = stage("register", *wrong.registration(), "--registered", "r.json")
    assert_one_line(result, f"--plots {tmp_path}/nope: no such directory")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("metrics", "[]", "other.json: not a dict"),
        ("metrics", '{"rows": "many"}', "other.json: not a dict: rows: "),
        ("metrics", "{}", "--metrics and --findings are not those that evaluate writes"),
        ("findings", "[]", "--metrics and --findings are not those that evaluate writes"),
        ("findings", '{"calibration": 1}', "--metrics and --findings are not those"),
        ("findings", "none", "other.json: not JSON"),
    ],
)
def test_other_shape_is_one_line(stage, trained, tmp_path, name: str, content: str, reason: str):
    (tmp_path / "other.json").write_text(content)
    wrong = replace(trained, **{name: tmp_path / "other.json"})
    result = stage("register", *wrong.registration(), "--registered", "r.json")
    assert_one_line(result, reason)
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_rows_that_were_read_are_in_the_run_and_the_card(client, stage, trained, tmp_path):
    """From ingest to the registry, as the account of a file goes from stage to stage."""
    table = reviews.read(trained.reviews).iloc[::7]
    lines = [
        {"text": text, "label": str(label)}
        for text, label in zip(table["text"], table["label"], strict=True)
    ]
    lines += [{"text": "", "label": "1"}, lines[0], {"text": "no opinion", "label": "x"}]
    source = tmp_path / "shop|a.jsonl"
    source.write_text("\n".join(map(json.dumps, lines)))
    labels = json.dumps({"negative": [0], "drop": ["x"], "positive": [1]})
    flags = ["--source", source.name, "--labels", labels, "--output", "reviews.parquet"]
    assert stage("ingest", *flags).returncode == 0
    splits = [part for name in ("train", "valid", "test") for part in (f"--{name}", name)]
    prepared = stage("prepare", "--reviews", "reviews.parquet", *splits)
    assert prepared.returncode == 0, prepared.stderr
    account = accounts.beside(tmp_path / "test")
    arguments = trained.registration()
    arguments[arguments.index("--test") + 1] = tmp_path / "test"
    result = stage("register", *arguments, "--registered", "registered.json")
    assert result.returncode == 0, result.stderr
    card = (tmp_path / "card.md").read_text()
    read = len(lines)
    assert f"| shop\\|a.jsonl | {read} | {read - 1} | 1 (label 'x') |" in card
    assert account.prepared["empty"] == 1
    assert account.prepared["copies"] >= 1
    dropped = f"{account.prepared['copies']} copies, 1 empty, 0 of several labels"
    assert f"dropped before the split: {dropped}." in card
    run_id = client.get_model_version("sentiment", "1").run_id
    run = client.get_run(run_id)
    metrics = run.data.metrics
    assert (metrics["rows_read"], metrics["rows_kept"]) == (read, read - 1)
    logged = client.load_table(run.info.experiment_id, runs.ROWS_FILE, [run_id])
    assert logged.to_dict("records") == [
        {"file": "shop|a.jsonl", "read": read, "kept": read - 1, "dropped": "1 (label 'x')"}
    ]
