"""The model card: all that the pipeline measured, in words that a person can check."""

import pytest

from components.io import records, runs
from components.io.files import read_json
from components.io.models import TrainingFacts, load_trials
from components.report import card


@pytest.fixture(scope="module")
def text(trained) -> str:
    facts = records.read(trained.model / "training.json", TrainingFacts)
    trials = load_trials(trained.model)
    metrics, findings = read_json(trained.metrics), read_json(trained.findings)
    return card.write("sentiment", facts, trials, metrics, findings, {"model_digest": "abc"})


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading, its own head first."""
    section = text.split(f"## {heading}")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_card_has_the_measures(text, trained):
    metrics, findings = read_json(trained.metrics), read_json(trained.findings)
    assert ["accuracy", f"{metrics['accuracy']:.4f}"] in rows(text, "Measured")
    assert len(rows(text, "Calibration")) == 2 + len(findings["calibration"])
    assert ["source imdb", str(int(metrics["rows"]))] in [
        row[:2] for row in rows(text, "By kind of review")
    ]
    shown = {row[0]: row[1:] for row in rows(text, "Behaviour")[2:]}
    assert shown == {
        each["capability"]: [str(each["passed"]), str(each["cases"])]
        for each in findings["behaviour"]["results"]
    }


def test_card_compares_trials_with_default(text, trained):
    trials = {
        trial.candidate.difference: trial.valid.accuracy for trial in load_trials(trained.model)
    }
    found = {row[0]: row for row in rows(text, "Search")[2:]}
    assert set(found) == set(trials) == {"default", "idf_power=1"}
    assert found["default"][-1] == ""
    gain = trials["idf_power=1"] - trials["default"]
    assert found["idf_power=1"][-1] == f"{gain:+.4f}"


def test_long_card_is_cut_at_a_line(text):
    assert runs._shortened(text) == text
    long = "a line of the card\n" * 1000
    shown = runs._shortened(long)
    assert 4_900 < len(shown) <= 5_000
    *lines, last = shown.splitlines()
    assert set(lines) == {"a line of the card"}
    assert last == "… and more in `model_card.md` of the model"


def test_card_says_what_the_split_keeps_apart(text, trained):
    assert "flatters accuracy by about .009" in text
    findings = read_json(trained.findings)
    rows = read_json(trained.metrics)["rows"]
    own = [{**each, "slice": "source own"} for each in findings["slices"][:1]]
    without = card._split(findings | {"slices": own}, rows)
    assert "knows no groups" in without
    assert ".009" not in without
    grouped = card._split(findings | {"groups": {"rows": 5, "groups": 3}}, rows)
    assert grouped.startswith("5 of them are in 3 groups")
    assert grouped.endswith("The others were split by their text.")


def test_card_names_the_languages_and_the_suite(text, trained):
    words = " ".join(text.split())
    assert "a sentence or more, in English (100%), and of the kind it was trained on" in words
    digest = read_json(trained.findings)["behaviour"]["digest"]
    assert f"the suite builtin, in English, with the digest `{digest[:16]}`" in words
