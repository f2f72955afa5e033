import json

import numpy as np
import pandas as pd
import pytest

from components import evaluate
from components.errors import UserError
from components.io import reviews
from components.io.files import replacing, replacing_directory, write_json
from components.report import measures


def two(p: object) -> np.ndarray:
    """Return the probabilities of two classes from those of the second."""
    second = np.asarray(p, float)
    return np.column_stack([1 - second, second])


def test_calibration_error_follows_the_paper():
    rng = np.random.default_rng(0)
    p = rng.random(2000)
    labels = (rng.random(2000) < p**2).astype(np.int8)
    confidence, correct = np.maximum(p, 1 - p), (p > 0.5) == labels
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - correct[inside].mean())
    assert measures.expected_calibration_error(labels, two(p)) == pytest.approx(expected)


def test_metrics_of_perfect_and_wrong_model():
    labels = np.array([0, 1, 0, 1], np.int8)
    perfect = measures.measure(labels, two(labels))
    assert (perfect["accuracy"], perfect["roc_auc"], perfect["log_loss"]) == (1, 1, 0)
    hopeless = measures.measure(labels, two(1 - labels))
    assert (hopeless["accuracy"], hopeless["macro_f1"], hopeless["roc_auc"]) == (0, 0, 0)


def test_confusion_matches_accuracy(trained):
    confusion = pd.read_csv(trained.plots / "confusion.csv")
    metrics = json.loads(trained.metrics.read_text())
    assert len(confusion) == metrics["rows"]
    right = (confusion["actual"] == confusion["predicted"]).mean()
    assert right == pytest.approx(metrics["accuracy"], abs=1e-9)
    for name in ("confusion", "roc", "precision_recall", "calibration", "trials"):
        assert (trained.plots / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_search_plot_has_every_trial(trained):
    found = pd.read_csv(trained.plots / "trials.csv")
    trials = json.loads((trained.model / "trials.json").read_text())
    assert sorted(found["log_loss"]) == pytest.approx(
        sorted(each["valid"]["log_loss"] for each in trials), abs=1e-6
    )
    assert set(found["candidate"]) == {"default", "idf_power=1"}


def test_shards_give_the_metrics_of_the_whole(trained, tmp_path):
    whole = [reviews.read(trained.test)]
    shards = [whole[0].iloc[:100], whole[0].iloc[100:101], whole[0].iloc[101:]]
    given = [(shards, "shards.parquet"), (whole, "whole.parquet")]
    found = [evaluate.evaluate(trained.model, each, tmp_path / path) for each, path in given]
    assert found[0][:2] == found[1][:2]
    predictions = [pd.read_parquet(tmp_path / path) for _, path in given]
    pd.testing.assert_frame_equal(*predictions)
    assert reviews.digest(shards) == reviews.digest(whole)


def test_unusable_test_set_is_named(tmp_path):
    frame = pd.DataFrame({"text": ["a", "b"], "label": [1, 1], "source": "x"})
    reviews.write(tmp_path / "one.parquet", frame)
    with pytest.raises(UserError, match="all reviews have the same label"):
        list(reviews.labelled(tmp_path / "one.parquet"))
    reviews.write(tmp_path / "none.parquet", frame.assign(text=["a", None]))
    with pytest.raises(UserError, match="column text has missing values"):
        list(reviews.labelled(tmp_path / "none.parquet"))


def test_output_is_whole_or_absent(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, 1)
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["value.json"]


def test_directory_is_replaced_whole(tmp_path):
    path = tmp_path / "model"
    for name in ("first", "second"):
        with replacing_directory(path) as partial:
            (partial / name).write_text(name)
    with pytest.raises(RuntimeError), replacing_directory(path) as partial:
        (partial / "third").write_text("half")
        raise RuntimeError
    assert [file.name for file in path.iterdir()] == ["second"]
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_unwritable_path_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="/file: File exists"):
        write_json(tmp_path / "file" / "value.json", 1)


def test_abstention_keeps_the_surest_90_percent():
    p = np.linspace(0.5, 1, 101)[1:]
    labels = np.ones(100, np.int8)
    labels[:15] = 0  # the ten least sure are wrong, and five more
    threshold, accuracy = measures.abstention(labels, two(p))
    assert (p >= threshold).sum() == 90
    assert accuracy == pytest.approx(85 / 90)


def test_slices_cover_each_review_twice():
    test = pd.DataFrame({"label": [1, 0, 1, 0], "source": ["a", "a", "b", "b"]})
    p = np.array([0.9, 0.2, 0.4, 0.1])
    found = measures.slices(test, two(p), np.array([0.0, 49, 50, 5000]))
    assert [(each["slice"], each["rows"], each["accuracy"]) for each in found] == [
        ("source a", 2, 1.0),
        ("source b", 2, 0.5),
        ("0 to 49 tokens", 2, 1.0),
        ("50 to 149 tokens", 1, 0.0),
        ("600 tokens or more", 1, 1.0),
    ]


def test_slices_have_thresholds_of_their_own():
    """The model is less sure of the short reviews, and wrong about the least sure of them."""
    p = np.concatenate([np.linspace(0.505, 0.6, 20), np.linspace(0.8, 0.99, 20)])
    test = pd.DataFrame({"label": np.int8(p > 0.51), "source": "a"})
    _, short, long = measures.slices(test, two(p), np.repeat([10.0, 200.0], 20))
    assert short["abstention_threshold"] == p[2]
    assert (short["accuracy"], short["accuracy_at_90_coverage"]) == (0.9, 1.0)
    assert long["abstention_threshold"] == p[22]


def test_calibration_in_tenths():
    found = measures.calibration(np.array([0, 1, 1], np.int8), two([0.05, 0.95, 1.0]))
    assert found == [
        {"rows": 1, "predicted": 0.05, "observed": 0.0},
        {"rows": 2, "predicted": 0.975, "observed": 1.0},
    ]


def test_several_sources_have_figures_of_their_own():
    test = pd.DataFrame({"label": [1, 0, 1], "source": ["own: new", "own: new", "old"]})
    p = np.array([0.9, 0.8, 0.9])
    found = measures.slices(test, two(p), np.zeros(3))
    assert measures.by_source(found) == {
        "accuracy/old": 1.0,
        "rows/old": 1.0,
        "accuracy/own_ new": 0.5,
        "rows/own_ new": 2.0,
    }
    assert measures.by_source(found[:1]) == {}


def test_groups_of_the_test_reviews_are_counted():
    test = pd.DataFrame({"source": ["a"] * 3, "group": ["x", None, "x"]})
    assert measures.groups(test) == {"rows": 2, "groups": 1}
    assert measures.groups(test[["source"]]) == {"rows": 0, "groups": 0}


def test_groups_reach_the_findings(trained, tmp_path):
    table = reviews.read(trained.test)
    table["group"] = ["film 1", None] * (len(table) // 2) + ["film 2"] * (len(table) % 2)
    reviews.write(tmp_path / "test.parquet", table)
    given = reviews.labelled(tmp_path / "test.parquet")
    _, findings, _ = evaluate.evaluate(trained.model, given, tmp_path / "p.parquet")
    assert findings["groups"]["rows"] == table["group"].notna().sum()
    assert findings["groups"]["groups"] == table["group"].nunique()
