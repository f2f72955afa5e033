import numpy as np
import pytest

import sentiment.store
from components.io import reviews
from sentiment import confidence, drift
from sentiment.model import probabilities


@pytest.mark.parametrize("classes", [2, 3])
def test_expectation_is_the_mean_probability_of_the_answers(classes):
    p = np.random.default_rng(0).dirichlet([1] * classes, 500)
    expected = confidence.expected_accuracy(drift.scores(p), classes)
    assert expected == pytest.approx(p.max(axis=1).mean())


def test_scores_of_three_classes_are_not_turned_over():
    assert confidence.expected_accuracy(np.array([0.4, 0.6]), 3) == pytest.approx(0.5)
    assert confidence.expected_accuracy(np.array([0.4, 0.6]), 2) == pytest.approx(0.6)


def test_expectation_is_near_the_accuracy_on_texts_like_those_of_the_reference(trained):
    model, table = sentiment.store.load(trained.model), reviews.read(trained.test)
    p = probabilities(model, table["text"])
    accuracy = (p.argmax(axis=1) == table["label"]).mean()
    assert confidence.expected_accuracy(drift.scores(p), 2) == pytest.approx(accuracy, abs=0.04)


@pytest.mark.parametrize(("name", "limit"), confidence.MAX_PSI.items())
def test_each_statistic_alone_gives_a_doubt(name, limit):
    quiet = dict.fromkeys(confidence.MAX_PSI, 0.0) | {name: limit}
    assert confidence.doubts(quiet) == ()
    (doubt,) = confidence.doubts(quiet | {name: limit + 0.01})
    assert doubt == f"{name} {limit + 0.01:.3f}, above {limit:g}"


def test_two_classes_have_no_index_of_the_class():
    assert confidence.doubts({"score": 0.1, "length": 0.1, "unknown": 0.1}) == ()
