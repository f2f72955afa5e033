"""What suspects found is in MLflow's description of the versions that learned from the reviews."""

import hashlib
import json

import pandas as pd
import pytest

from components.io import suspect_labels
from components.io.runs import LONGEST_DESCRIPTION
from components.io.suspect_labels import TAG, SuspectLabels, with_section
from tests.conftest import assert_one_line
from tests.integration.test_registration import client  # noqa: F401
from tests.unit.test_suspects import flags

FOUND = SuspectLabels(12, 240, 5, ("a" * 32, "b" * 32), "c" * 64)


def register(stage, trained, **environment: str) -> None:
    result = stage("register", *trained.registration(), "--registered", "r.json", **environment)
    assert result.returncode == 0, result.stderr


def test_description_has_the_suspects(client, stage, trained, trained_worse, tmp_path):  # noqa: F811
    """Those of the version that was there, and of the next one of the same reviews."""
    before = stage("suspects", *flags(trained, "early.csv"))
    assert before.returncode == 0, before.stderr
    assert "no version of these reviews is registered; run this again" in before.stderr

    register(stage, trained)
    card = (tmp_path / "card.md").read_text()
    assert client.get_model_version("sentiment", "1").description == card
    result = stage("suspects", *flags(trained, "suspects.csv"))
    assert result.returncode == 0, result.stderr
    assert "in the description of sentiment version 1" in result.stderr
    listed = pd.read_csv(tmp_path / "suspects.csv")
    version = client.get_model_version("sentiment", "1")
    found = json.loads(version.tags[TAG])
    assert found["contradicted"] >= len(listed) > suspect_labels.NAMED
    assert found["worst"] == list(listed["id"][: suspect_labels.NAMED])
    digest = hashlib.sha256((tmp_path / "suspects.csv").read_bytes()).hexdigest()
    assert found["digest"] == digest
    section = version.description.partition("\n## Suspect labels\n")[2]
    share = found["contradicted"] / found["rows"]
    assert f"{found['contradicted']} ({share:.1%})" in section
    assert "`python -m components.suspects`" in section
    assert digest in section
    assert all(each in section for each in found["worst"])
    texts = version.description + json.dumps(version.tags)
    assert not any(text[:40] in texts for text in listed["text"])

    register(stage, trained_worse)
    later = client.get_model_version("sentiment", "2")
    assert later.tags["data_digest"] == version.tags["data_digest"]
    assert later.tags[TAG] == version.tags[TAG]
    assert later.description.endswith(section)
    assert "Suspect labels" not in (tmp_path / "card.md").read_text()

    again = stage("suspects", *flags(trained, "suspects.csv"), "--share", "0.01")
    assert "sentiment version 1, sentiment version 2" in again.stderr
    for number in ("1", "2"):
        described = client.get_model_version("sentiment", number).description
        assert described.count("## Suspect labels") == 1
        assert digest not in described


def test_other_reviews_inherit_nothing(client, stage, trained, three):  # noqa: F811
    register(stage, trained)
    suspect_labels.publish(
        client, client.get_model_version("sentiment", "1").tags["data_digest"], FOUND
    )
    register(stage, three)
    assert TAG not in client.get_model_version("sentiment", "2").tags


def test_a_registry_that_is_down_leaves_the_list(stage, trained, tmp_path):
    down = "http://localhost:9"
    result = stage("suspects", *flags(trained, "suspects.csv"), MLFLOW_TRACKING_URI=down)
    assert_one_line(result, down, "no response", exit_code=4)
    assert len(pd.read_csv(tmp_path / "suspects.csv")) > suspect_labels.NAMED


@pytest.mark.parametrize("length", [1, 200, 248, 249, 250, 300])
def test_a_long_description_leaves_room(length: int):
    card = "a line of the card\n" * length
    described = with_section(card[:LONGEST_DESCRIPTION], FOUND)
    assert len(described) <= LONGEST_DESCRIPTION
    assert described.endswith(f"`{FOUND.digest}`.\n")
    assert "12 (5.0%)" in described
    assert with_section(described, FOUND) == described


def test_what_a_person_wrote_stays():
    described = with_section("# card\n", FOUND) + "\n## Notes\n\nmine\n"
    again = with_section(described, SuspectLabels(3, 240, 5, (), "d" * 64))
    assert again.startswith("# card\n\n## Notes\n\nmine\n\n## Suspect labels\n\nOf 240 labels of")
    assert "3 (1.2%)" in again
    assert FOUND.digest not in again
