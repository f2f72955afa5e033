"""The summary at the end of make train."""

import json
from pathlib import Path

import pytest

from components.io import registry
from tools import summary

SLICES = [("source own", 90, 0.8), ("source old", 910, 0.95), ("0 to 49 tokens", 500, 0.75)]
SLICES.append(("50 to 149 tokens", 9, 0.2))  # too few to name


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    files = [{"file": name, "read": 600, "kept": 500, "dropped": {"x": 100}} for name in "ab"]
    names = ("slice", "rows", "accuracy")
    written = {
        "validation": {"files": files, "classes": {"bad": 300, "fair": 200, "good": 500}},
        "metrics": {"rows": 1000.0, "accuracy": 0.93456},
        "findings": {"slices": [dict(zip(names, each, strict=True)) for each in SLICES]},
        "verdict": {"outcome": "passed", "why": "not worse: 0.9346"},
        "promotion": {"outcome": "promoted", "to": "7"},
    }
    for name, content in written.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_a_promotion_is_summed_up(reports):
    assert [*summary.lines(reports)] == [
        "Reviews     1200 read from 2 files, 1000 kept; 1000 of them test the model",
        "Classes     300 bad, 200 fair, 500 good",
        "Accuracy    0.9346 on the test reviews",
        "            0.8000 source own, 90 reviews",
        "            0.9500 source old, 910 reviews",
        "            0.7500 least, 0 to 49 tokens, 500 reviews",
        "Gate        PASSED: not worse: 0.9346",
        "Champion    version 7, promoted",
    ]
    assert "make serve" in summary.next_step(reports)


def test_a_refusal_is_seen(reports):
    verdict = {"outcome": "refused", "why": "worse: 0.9", "advice": ""}
    (reports / "verdict.json").write_text(json.dumps(verdict))
    (reports / "promotion.json").write_text(json.dumps({"outcome": "refused", "to": "6"}))
    shown = [*summary.lines(reports)]
    assert shown[-2:] == ["Gate        REFUSED: worse: 0.9", "Champion    version 6 stays"]
    assert "own-data.md" in summary.next_step(reports)
    (reports / "promotion.json").write_text(json.dumps({"outcome": "refused", "to": registry.NONE}))
    assert [*summary.lines(reports)][-1] == "Champion    none yet"


def test_a_used_test_set_is_told(reports):
    verdict = {"outcome": "passed", "why": "not worse", "advice": "new test reviews are due: …"}
    (reports / "verdict.json").write_text(json.dumps(verdict))
    assert "Test set    new test reviews are due: …" in [*summary.lines(reports)]
