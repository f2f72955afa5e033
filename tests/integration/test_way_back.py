"""Rollback and history after versions, the alias or the experiment were deleted in MLflow."""

import mlflow
import pytest

from components import gate, promote
from components.errors import UserError
from components.io import killed, owner, registry
from components.io.registry import Decision, Registered
from components.verdict import GateLimits, GateVerdict
from serving.model import registry as serving
from tests.conftest import assert_one_line


@pytest.fixture
def client(own_registry, tmp_path, monkeypatch) -> mlflow.MlflowClient:
    """A registry of three versions, each of which was promoted."""
    monkeypatch.chdir(tmp_path)
    with registry.connected() as client:
        client.create_registered_model("sentiment")
        for before, after in (("none", "1"), ("1", "2"), ("2", "3")):
            (tmp_path / after).mkdir()
            client.create_model_version("sentiment", str(tmp_path / after))
            registry.decide(client, "sentiment", Decision("promoted", before, after, "better"))
        yield client


def champion(client: mlflow.MlflowClient) -> str:
    return str(client.get_model_version_by_alias("sentiment", "champion").version)


def last_move(client: mlflow.MlflowClient) -> tuple[str, str, str]:
    move = registry.moves(client, "sentiment")[0]
    return move.outcome, move.before, move.after


def test_rollback_passes_over_deleted_versions(client):
    client.delete_model_version("sentiment", "2")
    promote.rollback("sentiment", None, "slow")
    assert champion(client) == "1"
    assert last_move(client) == ("rolled_back", "3", "1")


def test_rollback_without_a_former_version(client):
    for version in ("1", "2"):
        client.delete_model_version("sentiment", version)
    with pytest.raises(UserError, match="sentiment version 3 replaced no other; say --to VERSION"):
        promote.rollback("sentiment", None, "slow")


def test_rollback_sets_a_deleted_alias(client):
    client.delete_registered_model_alias("sentiment", "champion")
    promote.rollback("sentiment", "2", "the alias was deleted")
    assert champion(client) == "2"
    assert last_move(client) == ("rolled_back", "none", "2")
    promote.rollback("sentiment", None, "slow")
    assert champion(client) == "1"


def test_rollback_names_the_versions_there_are(client):
    client.delete_model_version("sentiment", "2")
    for to in ("2", "9", "two"):
        message = f"sentiment has no version {to}; the registry has 1, 3, and what was deleted"
        with pytest.raises(UserError, match=message):
            promote.rollback("sentiment", to, "slow")
    assert champion(client) == "3"


def test_rollback_to_lost_files_is_refused(client, tmp_path):
    (tmp_path / "1").rmdir()
    with pytest.raises(UserError, match=f"sentiment version 1: .* {tmp_path}/1, and there is no"):
        promote.rollback("sentiment", "1", "slow")
    assert champion(client) == "3"


ALIAS = "its alias was deleted, and pointed to version 3; set it again: .*--rollback --to 3 --why"
VERSION = "version 3 was deleted; the registry has 1, 2, .*--rollback --to VERSION --why"


@pytest.mark.parametrize("lost", ["alias", "version"])
def test_deleted_champion_stops_each_command(client, stage, lost: str):
    """Without a champion, gate would pass whatever is good enough for a first one."""
    if lost == "alias":
        client.delete_registered_model_alias("sentiment", "champion")
        message = f"sentiment has no champion: {ALIAS}"
    else:
        client.delete_model_version("sentiment", "3")
        message = f"sentiment has no champion: {VERSION}"
    verdict = GateVerdict("sentiment", "2", "3", "passed", True, "better", {})
    for command in (
        lambda: promote.rollback("sentiment", None, "slow"),
        lambda: promote.promote(verdict),
        lambda: gate.gate(Registered("sentiment", "2", "", "", ""), [], GateLimits()),
    ):
        with pytest.raises(UserError, match=message):
            command()
    with pytest.raises(serving.SourceError, match=r"@champion: .*set it: python"):
        serving.resolve("models:/sentiment@champion")
    history = stage("promote", "--history")
    assert history.returncode == 0
    assert len(history.stdout.splitlines()) == 3
    assert "promote: sentiment has no champion: " in history.stderr


def test_deleted_experiment_is_named(client, stage):
    experiment = client.get_experiment_by_name("sentiment-promotions").experiment_id
    client.delete_experiment(experiment)
    restore = f"mlflow experiments restore --experiment-id {experiment}"
    back = ["--rollback", "--why", "x"]
    for flags in (["--history"], back, [*back, "--to", "2"]):
        assert_one_line(stage("promote", *flags), "sentiment-promotions was deleted", restore)
    assert champion(client) == "3"
    client.restore_experiment(experiment)
    assert stage("promote", "--history").stdout.count("promoted") == 3


def test_history_makes_no_registry(stage, tmp_path):
    for uri, words in (
        ("sqlite:///none.db", ["no registry at none.db; train first, or set MLFLOW_TRACKING_URI"]),
        ("sqlite:///none/x.db", ["MLFLOW_TRACKING_URI", "does not exist: none"]),
    ):
        assert_one_line(stage("promote", "--history", MLFLOW_TRACKING_URI=uri), *words)
    assert not list(tmp_path.iterdir())


def test_history_of_an_unknown_name(client, stage):
    result = stage("promote", "--history", "--name", "sentimant")
    assert_one_line(result, "--name sentimant", "which has sentiment")


def test_contradicting_flags_are_usage_errors(stage):
    for flags in (["--history", "--rollback", "--why", "x"], ["--history", "--to", "2"]):
        result = stage("promote", *flags)
        assert result.returncode == 2
        assert "--rollback" in result.stderr


def open_record(client, before: str, after: str, **tags: str) -> str:
    """Leave a record as a killed process does, and return its run."""
    experiment = client.get_experiment_by_name("sentiment-promotions").experiment_id
    dead = owner.tags() | {owner.STARTED: "1"}
    told = {"outcome": "promoted", "from": before, "to": after, "why": "better", "mlflow.user": "x"}
    return str(client.create_run(experiment, tags=dead | told | tags).info.run_id)


def status(client: mlflow.MlflowClient, run_id: str) -> str:
    return str(client.get_run(run_id).info.status)


def test_record_of_a_killed_move_is_finished(client):
    run_id = open_record(client, "3", "1")
    client.set_registered_model_alias("sentiment", "champion", "1")
    promote.rollback("sentiment", "2", "slow")
    assert status(client, run_id) == "FINISHED"
    moves = [(move.before, move.after) for move in registry.moves(client, "sentiment")]
    assert moves[:2] == [("1", "2"), ("3", "1")]


def test_record_of_a_killed_start_is_closed(client, caplog):
    run_id = open_record(client, "3", "1")
    promote.rollback("sentiment", None, "slow")
    assert status(client, run_id) == "KILLED"
    assert len(registry.moves(client, "sentiment")) == 4
    assert "of a killed process as KILLED" in caplog.text


def test_move_of_another_host_is_seen_later(client, monkeypatch):
    """The alias has moved on since; the next record tells that the first one did move it."""
    run_id = open_record(client, "3", "1", **{owner.HOST: "another"})
    registry.decide(client, "sentiment", Decision("promoted", "1", "2", "better"))
    killed.close_records(client, "sentiment")
    assert status(client, run_id) == "RUNNING"
    assert [move.after for move in registry.moves(client, "sentiment")][:3] == ["2", "1", "3"]
    monkeypatch.setattr(owner, "_DAY", -1)
    killed.close_records(client, "sentiment")
    assert status(client, run_id) == "FINISHED"


def test_failed_move_leaves_no_open_record(client, monkeypatch):
    def fail(*_):
        raise UserError("the alias cannot be set")

    monkeypatch.setattr(registry, "set_alias", fail)
    with pytest.raises(UserError, match="cannot be set"):
        promote.rollback("sentiment", "1", "slow")
    statuses = {run.info.status for run in registry.records(client, "sentiment")}
    assert statuses == {"FAILED", "FINISHED"}
    assert len(registry.moves(client, "sentiment")) == 3
