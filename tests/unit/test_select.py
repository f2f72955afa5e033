import json
import shutil

import pytest

import sentiment.store
from components import select
from components.errors import StageError
from components.models import CANDIDATES_FILE, load_facts


def test_the_least_log_loss_is_kept(trained, tmp_path):
    table = select.select([trained.candidates], tmp_path / "model")
    losses = [candidate["valid"]["log_loss"] for candidate in table]
    assert losses == sorted(losses)
    assert len(losses) == 2
    assert load_facts(tmp_path / "model")["valid"]["log_loss"] == losses[0]
    assert sentiment.store.digest(tmp_path / "model") == table[0]["model_digest"]
    assert json.loads((tmp_path / "model" / CANDIDATES_FILE).read_text()) == table


def test_one_directory_each_gives_the_same_as_one_for_all(trained, tmp_path):
    """Kubeflow hands over a directory for each task of the fan-out, in an order of its own."""
    parts = []
    for candidate in trained.candidates.iterdir():
        parts.append(tmp_path / f"part-{candidate.name}")
        shutil.copytree(candidate, parts[-1] / candidate.name)
    for order in (parts, parts[::-1]):
        select.select(order, tmp_path / "model")
        for file in trained.model.iterdir():
            assert (tmp_path / "model" / file.name).read_bytes() == file.read_bytes()


def test_of_equals_the_lower_power(trained, tmp_path):
    for name, power in (("a", 2.0), ("b", 0.5)):
        shutil.copytree(next(trained.candidates.iterdir()), tmp_path / "c" / name)
        path = tmp_path / "c" / name / "training.json"
        facts = json.loads(path.read_text())
        facts["parameters"]["idf_power"] = power
        path.write_text(json.dumps(facts))
    table = select.select([tmp_path / "c"], tmp_path / "model")
    assert [candidate["parameters"]["idf_power"] for candidate in table] == [0.5, 2.0]


def test_candidates_of_other_reviews_are_refused(trained, trained_worse, tmp_path):
    shutil.copytree(trained.candidates, tmp_path / "c")
    path = next((tmp_path / "c").glob("*/training.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_digest": "another"}))
    with pytest.raises(StageError, match="not made from the same reviews"):
        select.select([tmp_path / "c"], tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_no_candidates(tmp_path):
    with pytest.raises(StageError, match="no candidate from train"):
        select.select([tmp_path], tmp_path / "model")
