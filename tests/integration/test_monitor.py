"""Captured requests against the reference that is kept with the champion."""

import json

import pandas as pd
import pytest

from components import ingest
from components.io import records, reviews
from components.io.models import load_model
from components.monitor import Drift
from components.reading.options import Options
from sentiment.model import probabilities
from tests.conftest import assert_one_line

OUT = ["--drift", "drift.json", "--report", "report.md"]


def capture(texts: pd.Series, tmp_path) -> None:
    """Write events as the predictor does."""
    events = (json.dumps({"time": "now", "data": {"text": text}}) for text in texts)
    (tmp_path / "in.jsonl").write_text("\n".join(events))


def test_same_kind_has_not_drifted(stage, champion, trained, imdb, tmp_path):
    texts = imdb["text"].iloc[1::8].sample(1000, random_state=0)
    capture(texts, tmp_path)
    result = stage("monitor", "--captured", "in.jsonl", *OUT)
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "drift.json").read_text())
    assert found["drifted"] is False, found
    assert set(found["stability"]) == {"score", "length", "unknown"}
    assert found["rows"] == 1000
    report = (tmp_path / "report.md").read_text()
    assert "# No drift: sentiment 1" in report
    assert found["believed"] is True
    assert found["doubts"] == []
    model = load_model(trained.model)
    expected = probabilities(model, texts).max(axis=1).mean()
    assert found["expected_accuracy"] == pytest.approx(expected)
    assert f"its accuracy on them is {expected:.4f}: to be believed" in report


def test_another_kind_has_drifted(stage, champion, tmp_path):
    ingest.ingest(Options("builtin:rotten_tomatoes"), tmp_path / "rt.parquet")
    capture(reviews.read(tmp_path / "rt.parquet")["text"].sample(1000, random_state=0), tmp_path)
    result = stage("monitor", "--captured", "in.jsonl", *OUT)
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "drift.json").read_text())
    assert found["drifted"] is True
    assert found["stability"]["length"] > 1
    assert "length" in found["why"]
    report = (tmp_path / "report.md").read_text()
    assert "# Drift: sentiment 1" in report
    assert found["believed"] is False
    assert [doubt.split()[0] for doubt in found["doubts"]] == ["score", "length", "unknown"]
    assert "not to be believed, by the stability index of score " in report


def test_shift_of_scores_alone_is_drift(stage, champion, imdb, tmp_path):
    negative = imdb[imdb["label"] == 0]["text"]
    capture(negative.sample(1000, random_state=0), tmp_path)
    assert stage("monitor", "--captured", "in.jsonl", *OUT).returncode == 0
    found = json.loads((tmp_path / "drift.json").read_text())
    assert found["why"].startswith("score ")
    assert max(found["stability"], key=found["stability"].get) == "score"


def test_folder_of_captured_requests(stage, champion, imdb, tmp_path):
    (tmp_path / "captured").mkdir()
    for day in range(3):
        texts = imdb["text"].iloc[1 + day :: 80]
        texts.to_frame().to_parquet(tmp_path / "captured" / f"{day}.parquet")
    result = stage("monitor", "--captured", "captured", "--text-column", "text", *OUT)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "drift.json").read_text())["rows"] == 3 * 313


def test_only_newest_requests_count(stage, champion, imdb, tmp_path):
    (tmp_path / "captured").mkdir()
    old, new = (
        imdb["text"].iloc[1::8].sample(1000, random_state=0),
        imdb["text"].iloc[:400].str[:99],
    )
    old.to_frame().to_parquet(tmp_path / "captured" / "1.parquet")
    new.to_frame().to_parquet(tmp_path / "captured" / "2.parquet")
    asked = ["monitor", "--captured", "captured", "--text-column", "text", *OUT]
    assert stage(*asked, "--newest", "400").returncode == 0
    found = json.loads((tmp_path / "drift.json").read_text())
    assert (found["rows"], found["drifted"]) == (400, True)


def test_few_requests_are_no_drift(stage, champion, imdb, tmp_path):
    capture(imdb["text"].iloc[:150], tmp_path)
    assert stage("monitor", "--captured", "in.jsonl", *OUT).returncode == 0
    found = json.loads((tmp_path / "drift.json").read_text())
    assert found["drifted"] is False
    assert "too few" in found["why"]
    assert "expected_accuracy" not in found
    assert "accuracy" not in (tmp_path / "report.md").read_text()


def test_file_of_an_earlier_release_is_read(tmp_path):
    found = Drift("sentiment", "1", 300, True, "length 7", {"length": 7.0}, {"length": 12.0})
    earlier = {key: value for key, value in records.plain(found).items() if key != "doubts"}
    (tmp_path / "drift.json").write_text(json.dumps(earlier))
    assert records.read(tmp_path / "drift.json", Drift) == found


def test_errors_are_one_line(stage, champion, tmp_path):
    (tmp_path / "in.jsonl").write_text(
        '{"data": {"text": "a"}}\n{"data": {"text": 7}}\n{"body": "b"}\n'
    )
    assert_one_line(stage("monitor", "--captured", "in.jsonl", *OUT), "in.jsonl", "line 2")
    other = stage("monitor", "--captured", "in.jsonl", "--text-column", "review", *OUT)
    assert_one_line(other, "--text-column", "'review'")
    assert_one_line(stage("monitor", "--captured", "none.jsonl", *OUT), "none.jsonl")
    assert not (tmp_path / "drift.json").exists()


def test_monitor_needs_a_champion(stage, own_registry, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"data": {"text": "a"}}\n')
    result = stage("monitor", "--captured", "in.jsonl", *OUT)
    assert_one_line(result, "no champion", "training pipeline")
