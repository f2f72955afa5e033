"""The model card: all that the pipeline measured, in words that a person can check."""

import re

import pytest

from components.io import records, runs
from components.io.accounts import FileAccount, RowAccount
from components.io.files import read_json
from components.io.models import TrainingFacts, load_trials
from components.report import card


def written(trained, *account: RowAccount) -> str:
    facts = records.read(trained.model / "training.json", TrainingFacts)
    trials = load_trials(trained.model)
    metrics, findings = read_json(trained.metrics), read_json(trained.findings)
    digests = {"model_digest": "abc"}
    return card.write("sentiment", facts, trials, metrics, findings, digests, *account)


@pytest.fixture(scope="module")
def text(trained) -> str:
    return written(trained)


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading, its own head first."""
    section = text.split(f"## {heading}")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.removeprefix("|").removesuffix("|"))]
        for line in lines
    ]


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
    assert runs.shortened(text) == text
    long = "a line of the card\n" * 1000
    shown = runs.shortened(long)
    assert 4_900 < len(shown) <= 5_000
    *lines, last = shown.splitlines()
    assert set(lines) == {"a line of the card"}
    assert last == "… and more in `model_card.md` of the model"


def test_card_says_what_the_split_keeps_apart(text, trained):
    assert "flatters accuracy by about .012" in text
    findings = read_json(trained.findings)
    rows = read_json(trained.metrics)["rows"]
    own = [{**each, "slice": "source own"} for each in findings["slices"][:1]]
    without = card._split(findings | {"slices": own}, rows)
    assert "knows no groups" in without
    assert ".012" not in without
    grouped = card._split(findings | {"groups": {"rows": 5, "groups": 3}}, rows)
    assert grouped.startswith("5 of them are in 3 groups")
    assert grouped.endswith("The others were split by their text.")


def test_card_has_the_interval_of_the_accuracy(text, trained):
    accuracy = read_json(trained.metrics)["accuracy"]
    found = re.search(r"The 95% interval of the accuracy is (0\.\d{4}) to (0\.\d{4})\.", text)
    low, high = map(float, found.groups())
    rows = read_json(trained.metrics)["rows"]
    for end in (low, high):  # where the accuracy is as many standard errors away as it should be
        assert abs(accuracy - end) == pytest.approx(
            1.96 * (end * (1 - end) / rows) ** 0.5, abs=1e-4
        )


def test_card_names_the_languages_and_the_suite(text, trained):
    words = " ".join(text.split())
    assert "a sentence or more, in English (100%), and of the kind it was trained on" in words
    digest = read_json(trained.findings)["behaviour"]["digest"]
    assert f"the suite builtin, in English, with the digest `{digest[:16]}`" in words


def test_card_accounts_for_the_rows_of_the_largest_files(trained, text):
    assert "## Rows read" not in text
    assert written(trained, RowAccount([], {"copies": 1})) == text
    files = [
        FileAccount(f"{size}.csv", 10 * size, 9 * size, {"label '3'": size})
        for size in range(1, 5_001)
    ]
    long = written(trained, RowAccount(files, {"empty": 2, "copies": 3}))
    found = rows(long, "Rows read")
    assert found[2] == ["5000.csv", "50000", "45000", "5000 (label '3')"]
    assert len(found) == 2 + card.SHOWN_FILES + 2
    rest = sum(range(1, 4_981))
    assert found[-2] == ["4980 more files", f"{10 * rest}", f"{9 * rest}", f"{rest} (label '3')"]
    total = sum(range(1, 5_001))
    assert found[-1] == ["all 5000 files", f"{10 * total}", f"{9 * total}", f"{total} (label '3')"]
    assert "dropped before the split: 2 empty, 3 copies." in long
    one = rows(written(trained, RowAccount(files[:1], {})), "Rows read")
    assert one[2:] == [["1.csv", "10", "9", "1 (label '3')"]]


@pytest.mark.parametrize("name", ["a|b.csv", "a\nb.csv", "a\\|b|.csv", "|", "a\\"])
def test_no_cell_breaks_a_table(name: str):
    (line,) = card.rows([[name, 1]]).splitlines()
    cells, at, cell = [], 1, ""
    while at < len(line):  # as the specification of GitHub's Markdown reads a line of a table
        if line[at] == "\\" and line[at + 1] in "\\|":
            cell, at = cell + line[at + 1], at + 2
        elif line[at] == "|":
            cells, cell, at = [*cells, cell.strip()], "", at + 1
        else:
            cell, at = cell + line[at], at + 1
    assert cells == [" ".join(name.split()), "1"]
