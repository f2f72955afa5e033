import json
from collections import Counter

import numpy as np
import pytest

import sentiment.store
from components import gate
from components.verdict import GateLimits, capabilities
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


def pair(cases: int, lost: int, gained: int = 0) -> tuple[list[bool], list[bool]]:
    """Return which cases pass before and after; where none is lost or gained, all pass."""
    same = [True] * (cases - lost - gained)
    return (
        [True] * lost + [False] * gained + same,
        [False] * lost + [True] * gained + same,
    )


def test_a_lost_capability_is_named():
    before, after = {}, {}
    before["negation"], after["negation"] = pair(40, 9, 2)
    before["casing"], after["casing"] = pair(40, 5)
    before["typos"], after["typos"] = pair(40, 4)
    verdict = capabilities(before, after, GateLimits())
    assert not verdict.passed
    assert verdict.why == (
        "loses negation 78% of cases against 95% (p 0.033),"
        " casing 88% of cases against 100% (p 0.031)"
    )
    assert verdict.figures == {
        "negation_passed": 0.775,
        "casing_passed": 0.875,
        "typos_passed": 0.9,
    }
    assert capabilities(before, after, GateLimits(capability_margin=1)).passed
    assert capabilities(after, before, GateLimits()).passed
    assert capabilities(before, before, GateLimits()).why == "loses no capability"


# as the docstring of capabilities has it
@pytest.mark.parametrize(
    ("cases", "gained", "lost"),
    [
        (4, 0, 2),
        (6, 0, 2),
        (12, 0, 4),
        (24, 0, 5),
        (36, 0, 5),
        (48, 0, 5),
        (48, 1, 7),
        (48, 2, 9),
        (48, 3, 10),
        (24, 2, 9),
        (100, 0, 11),  # within the margin nothing is lost, however sure
    ],
)
def test_from_how_many_cases_on_a_loss_is_refused(cases, gained, lost):
    for number in range(cases - gained + 1):
        before, after = pair(cases, number, gained)
        assert capabilities({"x": before}, {"x": after}, GateLimits()).passed is (number < lost)


def test_what_chance_explains_is_refused_where_it_is_gross():
    before, after = pair(48, 30, 15)
    assert capabilities({"x": before}, {"x": after}, GateLimits(alpha=0)).passed is False
    before, after = pair(48, 29, 15)
    assert capabilities({"x": before}, {"x": after}, GateLimits(alpha=0)).passed


def test_the_gate_sees_the_cases_that_the_card_counts(trained):
    outcomes = gate._behave(sentiment.store.load(trained.model))
    told = json.loads(trained.findings.read_text())["behaviour"]
    assert {name: (len(each), sum(each)) for name, each in outcomes.items()} == {
        each["capability"]: (each["cases"], each["passed"]) for each in told
    }


@pytest.mark.parametrize("capability", ["negation", "typos", "very long"])
def test_the_suite_is_the_same_each_time(capability):
    first, second = (
        [case.texts for case in behaviour.cases() if case.capability == capability]
        for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == len(first)
