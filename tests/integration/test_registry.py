"""register and promote, against SQLite and a real MLflow server with passwords."""

import json
import re
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest

import sentiment.store
from components.io import registry, reviews
from components.io.registry import Decision
from components.promote import former_champion
from tests.conftest import (
    CANDIDATES,
    Trained,
    assert_one_line,
    fit,
    free_port,
    tracking_server,
)
from tests.integration.test_two_processes import assert_one_version, register_twice

SAFE = ["--min-accuracy", "0.5"]


def register(stage, trained: Trained, **environment: str):
    return stage("register", *trained.registration(), "--registered", "r.json", **environment)


def promote(stage, trained: Trained, **environment: str):
    """Run gate and, where that went well, promote."""
    arguments = ["--registered", "r.json", "--test", trained.test, "--verdict", "v.json", *SAFE]
    judged = stage("gate", *arguments, **environment)
    if judged.returncode:
        return judged
    return stage("promote", "--verdict", "v.json", "--promotion", "p.json", **environment)


@pytest.fixture
def client(own_registry, tmp_path, monkeypatch) -> mlflow.MlflowClient:
    """A client of the SQLite file that the stages use too."""
    monkeypatch.chdir(tmp_path)
    with registry.connected() as client:
        yield client


def test_promotion_refusal_and_rollback(stage, tmp_path, client, trained, trained_worse):
    read = lambda name: json.loads((tmp_path / name).read_text())  # noqa: E731

    assert register(stage, trained).returncode == 0
    assert (read("r.json")["version"], read("r.json")["name"]) == ("1", "sentiment")
    assert promote(stage, trained).returncode == 0
    first = read("p.json")
    assert (first["outcome"], first["from"], first["to"]) == ("promoted", "none", "1")

    # the same again changes nothing
    assert register(stage, trained).returncode == 0
    assert read("r.json")["version"] == "1"
    assert promote(stage, trained).returncode == 0
    assert read("p.json")["outcome"] == "unchanged"
    assert len(client.search_model_versions("name = 'sentiment'")) == 1

    # a worse one is registered, and refused with a reason; that is no error
    assert register(stage, trained_worse).returncode == 0
    assert read("r.json")["version"] == "2"
    result = promote(stage, trained)
    assert result.returncode == 0
    assert (read("p.json")["outcome"], read("p.json")["to"]) == ("refused", "1")
    assert "worse: accuracy" in read("p.json")["why"]
    assert registry.alias_version(client, "sentiment", "champion").version in (1, "1")
    assert registry.alias_version(client, "sentiment", "challenger").version in (2, "2")

    # by hand to 2, with a reason, and back
    assert stage("promote", "--rollback", "--to", "2", "--why", "a test").returncode == 0
    moves = registry.moves(client, "sentiment")
    assert replace(moves[0], by=None, at=None) == Decision("rolled_back", "1", "2", "a test")
    assert moves[0].by
    assert stage("promote", "--rollback", "--why", "back").returncode == 0
    history = stage("promote", "--history").stdout.splitlines()
    assert [line.split(": ")[1] for line in history] == [
        *("rolled_back 2 -> 1", "rolled_back 1 -> 2", "refused 2", "promoted none -> 1")
    ]
    assert_one_line(stage("promote", "--rollback", "--why", "none before"), "replaced no other")
    assert_one_line(stage("promote", "--rollback", "--to", "9", "--why", "x"), "9")


def test_lost_capability_is_refused(stage, tmp_path, client, trained):
    """Learned from reviews in which one name goes with bad films, it judges by the name."""
    assert register(stage, trained).returncode == 0
    assert promote(stage, trained).returncode == 0
    names = ("train", "counts", "matrix", "trials", "selection", "model")
    biased = replace(trained, **{name: tmp_path / name for name in names})
    for shard in reviews.shards(trained.train):
        table = reviews.read(shard)
        bad = table.index[table["label"] == 0][::2]
        table.loc[bad, "text"] = "Ahmed told me about it in Cairo. " + table.loc[bad, "text"]
        biased.train.mkdir(exist_ok=True)
        reviews.write(biased.train / shard.name, table)
    fit(biased, CANDIDATES, 2, 2)
    assert register(stage, biased).returncode == 0
    # its accuracy alone may not refuse it
    careless = ["--registered", "r.json", "--test", trained.test]
    careless += ["--margin", "1", "--alpha", "0.02"]
    assert stage("gate", *careless, "--verdict", "v.json").returncode == 0
    verdict = json.loads((tmp_path / "v.json").read_text())
    assert (verdict["passed"], verdict["outcome"]) == (False, "refused")
    assert "loses names" in verdict["why"]
    assert verdict["figures"]["casing_passed"] >= 0.95
    assert stage("promote", "--verdict", "v.json", "--promotion", "p.json").returncode == 0
    assert json.loads((tmp_path / "p.json").read_text())["to"] == "1"
    allowed = [*careless, "--capability-margin", "1", "--verdict", "v.json"]
    assert stage("gate", *allowed).returncode == 0
    assert json.loads((tmp_path / "v.json").read_text())["passed"]


def kept_notes(client, number: str, directory) -> str:
    run_id = client.get_model_version("sentiment", number).run_id
    path = client.download_artifacts(run_id, "release_notes.md", str(directory))
    return Path(path).read_text()


def test_a_promotion_has_release_notes(stage, tmp_path, client, trained, trained_worse):
    for candidate in (trained_worse, trained):
        assert register(stage, candidate).returncode == 0
        assert promote(stage, trained).returncode == 0
    first = kept_notes(client, "1", tmp_path)
    assert first.startswith("# sentiment version 1\n\nPromoted as the first champion by ")
    notes = kept_notes(client, "2", tmp_path)
    assert notes.startswith("# sentiment version 2\n\nPromoted over version 1 by ")
    facts = json.loads((trained.model / "training.json").read_text())
    before = json.loads((trained_worse.metrics).read_text())["accuracy"]
    after = json.loads(trained.metrics.read_text())["accuracy"]
    assert f"| {before:.4f} | {after:.4f} | {after - before:+.4f} |" in notes
    assert f"`{facts['data_digest'][:16]}`" in notes
    assert "| min_df | 150 | 2 |" in notes
    assert "150 to 299 tokens" in notes
    # the same from the command line, and nothing for what was never promoted
    assert stage("notes").stdout == notes
    assert stage("notes", "--version", "1", "--output", "n.md").returncode == 0
    assert (tmp_path / "n.md").read_text() == first
    # a run that was killed after the move is done again, and leaves them
    client.set_registered_model_alias("sentiment", "champion", "2")
    client.log_text(client.get_model_version("sentiment", "2").run_id, "", "release_notes.md")
    assert stage("promote", "--verdict", "v.json", "--promotion", "p.json").returncode == 0
    assert json.loads((tmp_path / "p.json").read_text())["outcome"] == "unchanged"
    assert kept_notes(client, "2", tmp_path) == notes
    # and where the former champion was deleted since, they have no comparison
    client.delete_model_version("sentiment", "1")
    assert "\nPromoted over version 1, which is deleted, by " in stage("notes").stdout


def test_unpromoted_version_has_no_notes(stage, client, trained):
    assert_one_line(stage("notes"), "no champion")
    assert register(stage, trained).returncode == 0
    assert_one_line(stage("notes", "--version", "1"), "never promoted")


def test_notes_say_how_to_rebuild_the_model(stage, tmp_path, client, trained):
    assert register(stage, trained, GIT_COMMIT="c" * 40).returncode == 0
    assert promote(stage, trained).returncode == 0
    digest = json.loads((trained.model / "training.json").read_text())["model_digest"]
    notes = stage("notes").stdout
    assert f"    git checkout {'c' * 40}\n" in notes
    assert digest in notes


def test_rollback_restores_former_champion(stage, tmp_path, client, trained, trained_worse):
    for candidate in (trained_worse, trained):
        assert register(stage, candidate).returncode == 0
        assert promote(stage, trained).returncode == 0
    assert json.loads((tmp_path / "p.json").read_text())["outcome"] == "promoted"
    for _ in range(2):  # the second finds that version 1 replaced nothing, and does not swing back
        result = stage("promote", "--rollback", "--why", "slow")
    assert registry.alias_version(client, "sentiment", "champion").version in (1, "1")
    assert_one_line(result, "version 1 replaced no other")


def test_1000_refusals_hide_no_move(client):
    client.create_registered_model("sentiment")
    client.create_model_version("sentiment", "models")
    run_id = registry.decide(client, "sentiment", Decision("promoted", "none", "1", ""))
    record = client.get_run(run_id)
    tags = record.data.tags | {"outcome": "refused"}
    for _ in range(1000):  # what MLflow gives, unless told
        client.create_run(record.info.experiment_id, tags=tags)
    assert [move.after for move in registry.moves(client, "sentiment")] == ["1"]


@pytest.mark.parametrize(
    ("record", "champion", "expected"),
    [
        ("", "1", None),
        ("none>1 1>2 2>3", "3", "2"),
        ("none>1 1>2 2>3 3<2", "2", "1"),
        ("none>1 1>2 2>3 3<1", "1", None),  # all that came after is undone
        ("none>1 1>2 2<9", "9", "2"),  # what was never promoted
        ("none>1 1>2 2<1 1<2", "2", "1"),  # forth again
        ("none>1 1>2 2<1 1>3", "3", "1"),
        ("none>1 1>2 2>1", "1", "2"),  # promoted once more
        ("none>1 1>2", "7", "2"),  # moved by hand
        ("none>1 7>8", "8", "7"),
    ],
)
def test_former_champion(record, champion, expected):
    moves = [
        Decision("promoted" if ">" in move else "rolled_back", before, after, "")
        for move in record.split()
        for before, after in [re.split("[<>]", move)]
    ]
    assert former_champion(moves[::-1], champion) == expected


def test_version_has_tags_params_and_trials(stage, client, trained, tmp_path):
    assert register(stage, trained).returncode == 0
    version = client.get_model_version("sentiment", "1")
    facts = json.loads((trained.model / "training.json").read_text())
    assert version.tags["model_digest"] == sentiment.store.digest(trained.model)
    assert version.tags["data_digest"] == facts["data_digest"]
    assert len(facts["data_digest"]) == 64
    assert len(version.tags["git_commit"].removesuffix("-dirty")) in (len("unknown"), 40)
    assert "test reviews" in version.description
    run = client.get_run(version.run_id)
    assert run.data.params["idf_power"] == str(facts["parameters"]["idf_power"])
    assert (tmp_path / "card.md").read_text() == version.description
    assert "2 trials, judged by log loss" in version.description
    nested = client.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{version.run_id}'"
    )
    assert sorted(each.data.params["idf_power"] for each in nested) == ["1.0", "1.5"]
    assert {each.info.status for each in nested} == {"FINISHED"}
    best = min(each.data.metrics["valid_log_loss"] for each in nested)
    assert best == facts["valid"]["log_loss"] == run.data.metrics["valid_log_loss"]
    history = client.get_metric_history(nested[0].info.run_id, "valid_log_loss_by_iteration")
    assert [point.step for point in history] == list(range(1, 9))
    assert run.data.metrics["accuracy"] == json.loads(trained.metrics.read_text())["accuracy"]
    assert {file.path for file in client.list_artifacts(version.run_id, "plots")} >= {
        *("plots/confusion.png", "plots/roc.png", "plots/calibration.png")
    }
    folder = registry.download(client, version, tmp_path / "there")
    names = {path.name for path in folder.rglob("*")}
    assert not [name for name in names if name.endswith((".pkl", ".pickle"))]
    assert {"MLmodel", "model.skops", "requirements.txt", "input_example.json"} <= names
    assert {"findings.json", "trials.json", "model_card.md"} <= names
    assert sentiment.store.digest(folder) == version.tags["model_digest"]
    assert "scikit-learn==" in (folder / "requirements.txt").read_text()


def test_mlflow_loads_the_model(stage, client, trained, monkeypatch):
    assert register(stage, trained).returncode == 0
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")  # its switch for skops too
    texts = ["a wonderful film", "dull and bad"]
    ours = sentiment.store.load(trained.model).predict_proba(texts)
    pipeline = mlflow.sklearn.load_model("models:/sentiment@challenger")
    np.testing.assert_array_equal(pipeline.predict_proba(texts), ours)
    pyfunc = mlflow.pyfunc.load_model("models:/sentiment@challenger")
    np.testing.assert_array_equal(pyfunc.predict(np.array(texts)), ours)


def test_changed_model_file_is_refused(stage, trained, tmp_path):
    forged = tmp_path / "forged"
    forged.mkdir()
    for name in ("training.json", "trials.json"):
        (forged / name).write_bytes((trained.model / name).read_bytes())
    (forged / "model.skops").write_bytes((trained.model / "model.skops").read_bytes() + b"x")
    assert_one_line(register(stage, replace(trained, model=forged)), "forged", "training.json")


def test_promotion_needs_the_judged_champion(stage, tmp_path, client, trained, trained_worse):
    for candidate in (trained_worse, trained):
        assert register(stage, candidate).returncode == 0
    arguments = ["--registered", "r.json", "--test", trained.test, "--verdict", "v.json", *SAFE]
    assert stage("gate", *arguments).returncode == 0
    assert json.loads((tmp_path / "v.json").read_text())["champion"] == "none"
    client.set_registered_model_alias("sentiment", "champion", "1")  # by another process
    result = stage("promote", "--verdict", "v.json", "--promotion", "p.json")
    assert_one_line(result, "version 1 now, and was none", "run gate again")
    assert str(registry.alias_version(client, "sentiment", "champion").version) == "1"
    assert not (tmp_path / "p.json").exists()


def test_promote_without_a_registered_model(stage, client, trained, tmp_path):
    assert_one_line(promote(stage, trained), "r.json", "No such file")
    (tmp_path / "r.json").write_text('{"name": "sentiment", "version": "7"}')
    assert_one_line(
        promote(stage, trained), "r.json: not a Registered: model_digest: Field required"
    )
    digests = {f"{name}_digest": "0" for name in ("model", "data", "test")}
    registered = {"name": "sentiment", "version": "7"} | digests
    (tmp_path / "r.json").write_text(json.dumps(registered))
    assert_one_line(promote(stage, trained), "sentiment")
    assert_one_line(stage("promote", "--rollback", "--why", "x"), "no champion")
    assert stage("promote", "--history").stderr.endswith("promote: nothing was decided yet\n")


def test_usage_errors_name_the_flag(stage):
    for arguments, word in ((["--rollback"], "--why"), ([], "or --rollback, or --history")):
        result = stage("promote", *arguments)
        assert result.returncode == 2
        assert word in result.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with tracking_server(tmp_path_factory.mktemp("mlflow")) as environment:
        yield environment


def test_server_with_basic_auth(stage, tmp_path, server, trained):
    password = server["MLFLOW_TRACKING_PASSWORD"]
    address = server["MLFLOW_TRACKING_URI"].replace("//", f"//admin:{password}@")
    result = register(stage, trained, MLFLOW_TRACKING_URI=address)
    assert result.returncode == 0, result.stderr
    assert password not in result.stdout + result.stderr
    result = promote(stage, trained, **server)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "p.json").read_text())["outcome"] == "promoted"
    history = stage("promote", "--history", **server)
    assert " admin: promoted none -> 1" in history.stdout
    assert not (tmp_path / "mlflow.db").exists()


def test_two_on_a_server_make_one_version(stage, tmp_path, server, trained, monkeypatch):
    assert register_twice(stage, trained, tmp_path, "twice", **server) == ["1", "1"]
    for key, value in server.items():
        monkeypatch.setenv(key, value)
    client = mlflow.MlflowClient(server["MLFLOW_TRACKING_URI"])
    assert_one_version(client, "twice", 3)


def test_wrong_password_is_not_printed(stage, server, trained):
    wrong = server | {"MLFLOW_TRACKING_PASSWORD": "wrong-horse-1"}
    result = register(stage, trained, **wrong)
    assert_one_line(result, server["MLFLOW_TRACKING_URI"], "refuses", "MLFLOW_TRACKING_PASSWORD")
    assert "wrong-horse-1" not in result.stderr


@pytest.mark.parametrize(
    ("password", "exit_code", "reason"),
    [
        ("hid@hidden", 4, "no response (Connection refused); see MLFLOW_TRACKING_URI"),
        ("hid/hidden", 1, "MLFLOW_TRACKING_URI is malformed; write %2F for a slash"),
    ],
)
def test_a_stopped_server_is_one_line(
    stage, trained, tmp_path, password: str, exit_code: int, reason: str
):
    """A slash in a password makes the address malformed, which the user must fix."""
    address = f"http://someone:{password}@127.0.0.1:{free_port()}"
    environment = {"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    result = register(stage, trained, **environment)
    assert_one_line(result, "MLflow at http://127.0.0.1:", reason, exit_code=exit_code)
    assert "hid" not in result.stderr
    assert not (tmp_path / "r.json").exists()


def test_a_stopped_database_is_one_line(stage):
    """MLflow alone would try again for two minutes."""
    address = f"postgresql+psycopg2://someone:hidden@127.0.0.1:{free_port()}/mlflow"
    result = stage("promote", "--history", MLFLOW_TRACKING_URI=address)
    assert_one_line(result, "MLflow at postgresql+psycopg2://127.0.0.1:", "refused", exit_code=4)
    assert "hidden" not in result.stderr
