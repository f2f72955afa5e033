import json

import numpy as np
import pytest

import sentiment.store
from components.io import reviews
from sentiment import drift
from sentiment.model import probabilities


def values(**statistics: list[float]) -> drift.Statistics:
    return {name: np.array(each, float) for name, each in statistics.items()}


def test_stability_follows_its_definition():
    reference = {"length": {"edges": [10.0, 20.0], "counts": [50, 30, 20]}}
    current = values(length=[5] * 20 + [10] * 30 + [20, 99] * 25)
    expected = np.array([50.5, 30.5, 20.5]) / 101.5
    shares = np.array([20.5, 30.5, 50.5]) / 101.5
    index = ((shares - expected) * np.log(shares / expected)).sum()
    assert drift.stability(reference, current) == {"length": pytest.approx(index)}


def test_equal_values_and_empty_bins():
    rng = np.random.default_rng(0)
    sample = values(score=rng.random(5000))
    reference = drift.reference(sample)
    assert drift.stability(reference, sample)["score"] == pytest.approx(0, abs=1e-12)
    assert 0.25 < drift.stability(reference, values(score=[0.5] * 500))["score"] < 20


def test_a_sample_of_the_same_kind_is_no_drift():
    """The index by chance is about (bins - 1) (1/n + 1/m): 0.02 for 500 of 2,500."""
    rng = np.random.default_rng(0)
    reference = drift.reference(values(score=rng.random(2500)))
    indices = [
        drift.stability(reference, values(score=rng.random(500)))["score"] for _ in range(99)
    ]
    assert np.mean(indices) == pytest.approx(9 * (1 / 500 + 1 / 2500), rel=0.3)
    assert max(indices) < 0.1


def test_repeated_values_give_fewer_bins():
    reference = drift.reference(values(unknown=[0] * 95 + [0.5] * 5))
    assert sum(reference["unknown"]["counts"]) == 100
    assert json.loads(json.dumps(reference)) == reference


def test_describe_scores_lengths_and_unknowns(trained):
    model = sentiment.store.load(trained.model)
    texts = ["A film", "", "zzgrmpf zzgrmpf film <br />"]
    statistics = drift.describe(model, texts, probabilities(model, texts))
    assert statistics["length"].tolist() == [2, 0, 3]
    assert statistics["unknown"].tolist() == [0, 0, pytest.approx(2 / 3)]
    assert statistics["score"].tolist() == probabilities(model, texts)[:, 1].tolist()


def test_the_reference_comes_from_test_reviews(trained):
    """A model is surer of reviews that it was trained on, and knows more of their words."""
    reference = json.loads(trained.findings.read_text())["reference"]
    model = sentiment.store.load(trained.model)
    tables = [reviews.read(path)["text"].tolist() for path in (trained.test, trained.valid)]
    test, learned = (
        drift.stability(reference, drift.describe(model, texts, probabilities(model, texts)))
        for texts in tables
    )
    assert test == {"score": 0, "length": 0, "unknown": 0}
    assert learned["score"] > 0.2
    assert learned["unknown"] > 0.2
    assert learned["length"] < 0.1


def test_more_classes_have_a_bin_each():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([2, 2, 2], 3000)
    lengths = np.full(3000, 9.0)
    found = drift.statistics(p, lengths, lengths)
    assert found["score"].tolist() == p.max(axis=1).tolist()
    reference = drift.reference(found, 3)
    assert reference["class"]["counts"] == np.bincount(p.argmax(axis=1)).tolist()
    assert drift.stability(reference, found)["class"] == 0
    of_last = p[p.argmax(axis=1) == 2]
    shifted = drift.statistics(of_last, lengths, lengths)
    assert drift.stability(reference, shifted)["class"] > 1
    never = drift.statistics(p[p.argmax(axis=1) < 2], lengths, lengths)
    without_last = drift.reference(never, 3)
    assert without_last["class"]["counts"][2] == 0
    assert drift.stability(without_last, shifted)["class"] > 1
