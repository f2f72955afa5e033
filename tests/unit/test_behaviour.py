import json
from collections import Counter

import numpy as np
import pytest

import sentiment.store
from components.significance import Limits, capabilities
from sentiment import behaviour


class Words:
    """A model that adds up what it knows of each word, as text or as lower case."""

    def __init__(self, weights: dict[str, float], lower: bool = True) -> None:
        self.weights, self.lower = weights, lower

    def predict_proba(self, texts):
        texts = [text.lower() if self.lower else text for text in texts]
        scores = np.array(
            [sum(self.weights.get(w.strip(".,"), 0) for w in text.split()) for text in texts]
        )
        p = 1 / (1 + np.exp(-np.clip(scores, -50, 50)))
        return np.column_stack([1 - p, p])


def rates(model) -> dict[str, float]:
    return {each["capability"]: each["passed"] / each["cases"] for each in behaviour.run(model)}


def test_every_capability_of_a_real_model_is_reported(trained):
    results = behaviour.run(sentiment.store.load(trained.model))
    assert results == json.loads(trained.findings.read_text())["behaviour"]
    counted = Counter(case.capability for case in behaviour.cases())
    assert {each["capability"]: each["cases"] for each in results} == counted
    assert set(counted) == {
        *("negation", "intensifiers", "neutral edits", "typos", "casing", "names"),
        *("length", "HTML", "emoji", "empty", "very long"),
    }
    assert all(0 <= each["passed"] <= each["cases"] for each in results)


def test_a_model_fails_what_it_cannot_do_and_shows_where():
    words = {"good": 2, "funny": 2, "great": 2, "wonderful": 2, "superb": 2, "loved": 2}
    found = rates(Words(words | {"bad": -2, "terrible": -2, "stupid": -2}))
    assert found["casing"] == found["names"] > 0.8
    assert found["negation"] == found["intensifiers"] == 0
    assert rates(Words(words, lower=False))["casing"] < found["casing"]
    assert rates(Words(words | {"tuesday": 1}))["neutral edits"] < found["neutral edits"]
    assert rates(Words(words | {"ahmed": -1}))["names"] < found["names"]
    # one that knows nothing is steady in all that it says, and passes only by luck
    assert {name for name, rate in rates(Words({})).items() if rate > 0.6} == {"empty"}
    negation = behaviour.run(Words(words))[0]
    assert negation["failures"][0][0][0] == "The film is good."


def test_a_lost_capability_is_named():
    def results(**passed: int) -> list[dict[str, object]]:
        return [{"capability": name, "cases": 40, "passed": n} for name, n in passed.items()]

    before = results(negation=30, casing=40)
    assert capabilities(before, results(negation=26, casing=40), Limits()).passed
    verdict = capabilities(before, results(negation=25, casing=35), Limits())
    assert not verdict.passed
    assert verdict.why == (
        "loses negation 62% of cases against 75%, casing 88% of cases against 100%"
    )
    assert verdict.figures == {"negation_passed": 0.625, "casing_passed": 0.875}
    assert capabilities(before, results(negation=0), Limits(capability_margin=1)).passed
    assert capabilities([], results(negation=0), Limits()).passed


@pytest.mark.parametrize("capability", ["negation", "typos", "very long"])
def test_the_suite_is_the_same_each_time(capability):
    first, second = (
        [case.texts for case in behaviour.cases() if case.capability == capability]
        for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == len(first)
