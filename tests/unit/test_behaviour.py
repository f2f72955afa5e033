import json
from collections import Counter

import numpy as np
import pytest

import sentiment.store
from components.behaviour import judging, reading
from components.verdict import GateLimits, capabilities

ENGLISH = reading.read(reading.BUILTIN)


class Words:
    """A model whose score is the sum of word weights, case-sensitive unless ``lower``.

    It is its own classifier, without names of classes.
    """

    def __init__(self, weights: dict[str, float], lower: bool = True) -> None:
        self.weights, self.lower = weights, lower

    def __getitem__(self, step: str) -> "Words":
        return self

    def predict_proba(self, texts):
        texts = [text.lower() if self.lower else text for text in texts]
        scores = np.array(
            [sum(self.weights.get(w.strip(".,"), 0) for w in text.split()) for text in texts]
        )
        p = 1 / (1 + np.exp(-np.clip(scores, -50, 50)))
        return np.column_stack([1 - p, p])


def pass_rates(model) -> dict[str, float]:
    return {each.capability: each.passed / each.cases for each in judging.run(ENGLISH, model)}


def test_all_capabilities_are_reported(trained):
    results = json.loads(trained.findings.read_text())["behaviour"]["results"]
    counted = Counter(case.capability for case in ENGLISH.each_case())
    assert {each["capability"]: each["cases"] for each in results} == counted
    assert all(0 <= each["passed"] <= each["cases"] for each in results)


def test_the_builtin_suite_is_broad():
    assert min(map(len, ENGLISH.texts.values())) >= 20
    counted = Counter(case.capability for case in ENGLISH.each_case())
    negated = [counted[name] for name in counted if "negation" in name]
    assert len(negated) == 3
    assert min(negated) > 60
    swaps = ["names", "places", "numbers", "religions", "nationalities", "genders"]
    assert all(counted[name] >= 8 * 40 for name in swaps)


def test_weak_models_fail_the_right_capabilities():
    words = {"good": 2, "funny": 2, "great": 2, "wonderful": 2, "superb": 2, "loved": 2}
    rates = pass_rates(Words(words | {"bad": -2, "terrible": -2, "stupid": -2}))
    assert rates["casing"] == rates["names"] > 0.3
    assert rates["plain sentences"] > 0.3
    assert all(rates[name] == 0 for name in rates if "negation" in name)
    assert pass_rates(Words(words, lower=False))["casing"] < rates["casing"]
    assert pass_rates(Words(words | {"tuesday": 1}))["neutral edits"] < rates["neutral edits"]
    assert pass_rates(Words(words | {"ahmed": -1}))["names"] < rates["names"]
    assert pass_rates(Words(words | {"very": -9}))["intensifiers"] < rates["intensifiers"]
    # a model without weights never changes its probability
    assert {name for name, rate in pass_rates(Words({})).items() if rate > 0.6} == {
        *("empty", "reducers"),
    }
    negated = judging.run(ENGLISH, Words(words))[1]
    assert negated.capability == "negation of praise"
    assert negated.failures[0].expected == "right positive, right negative"
    assert negated.failures[0].answers[0] == ("The film is good.", 0.8808)


def pair(cases: int, lost: int, gained: int = 0) -> tuple[list[bool], list[bool]]:
    """Return which cases pass before and after: ``lost``, ``gained``, and the rest passing both."""
    same = [True] * (cases - lost - gained)
    return (
        [True] * lost + [False] * gained + same,
        [False] * lost + [True] * gained + same,
    )


def test_a_lost_capability_is_refused_by_name():
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


# the figures of the docstring of capabilities
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
        (100, 0, 11),  # within the margin, so that significance does not matter
    ],
)
def test_smallest_loss_that_is_refused(cases, gained, lost):
    for number in range(cases - gained + 1):
        before, after = pair(cases, number, gained)
        assert capabilities({"x": before}, {"x": after}, GateLimits()).passed is (number < lost)


def test_a_gross_loss_is_refused_despite_chance():
    before, after = pair(48, 30, 15)
    assert capabilities({"x": before}, {"x": after}, GateLimits(alpha=0)).passed is False
    before, after = pair(48, 29, 15)
    assert capabilities({"x": before}, {"x": after}, GateLimits(alpha=0)).passed


def test_gate_and_report_count_the_same_cases(trained):
    findings = json.loads(trained.findings.read_text())
    suite = judging.of_findings(findings, "x").suite
    outcomes = judging.outcomes(suite, sentiment.store.load(trained.model))
    assert {name: (len(each), sum(each)) for name, each in outcomes.items()} == {
        each["capability"]: (each["cases"], each["passed"])
        for each in findings["behaviour"]["results"]
    }


@pytest.mark.parametrize("capability", ["negation", "typos", "very long"])
def test_the_cases_are_deterministic_and_distinct(capability):
    first, second = (
        [case.texts for case in ENGLISH.each_case() if case.capability == capability]
        for _ in range(2)
    )
    assert first == second
    assert len(set(first)) == len(first)
