import numpy as np
import pytest
from scipy.stats import binomtest

from components.verdict import GateLimits, floor, not_inferior, not_worse

LABELS = np.array([0, 1] * 500, np.int8)


def outcomes(both: int, only_champion: int, only_challenger: int, neither: int):
    champion = [True] * both + [True] * only_champion + [False] * (only_challenger + neither)
    challenger = [True] * both + [False] * only_champion
    challenger += [True] * only_challenger + [False] * neither
    return np.array(champion), np.array(challenger)


@pytest.mark.parametrize(
    ("counts", "passed", "word"),
    [
        ((4500, 50, 90, 360), True, "not worse"),  # better
        ((4600, 60, 60, 280), True, "not worse"),  # equal
        ((5000, 0, 0, 0), True, "not worse"),  # the same
        ((4500, 90, 50, 360), False, "worse"),  # surely worse, within the margin
        ((2500, 1500, 500, 500), False, "worse"),
    ],
)
def test_a_challenger_that_is_surely_worse_is_refused(counts, passed, word):
    verdict = not_worse(*outcomes(*counts), GateLimits())
    assert verdict.passed is passed
    assert verdict.why.startswith(word)


def test_mcnemar_is_the_exact_test():
    verdict = not_worse(*outcomes(900, 30, 12, 58), GateLimits())
    assert verdict.figures["p_value"] == pytest.approx(binomtest(12, 42).pvalue)


def test_the_interval_equals_a_bootstrap_of_rows():
    champion, challenger = outcomes(800, 60, 90, 50)
    figures = not_worse(champion, challenger, GateLimits()).figures
    rng = np.random.default_rng(1)
    gains = challenger.astype(int) - champion.astype(int)
    draws = [rng.choice(gains, len(gains)).mean() for _ in range(4000)]
    low, high = np.quantile(draws, [0.025, 0.975])
    assert figures["difference"] == pytest.approx(0.03)
    assert figures["difference_low"] == pytest.approx(low, abs=0.002)
    assert figures["difference_high"] == pytest.approx(high, abs=0.002)


@pytest.mark.parametrize(
    ("right", "least", "passed"), [(600, 0.0, True), (520, 0.0, False), (900, 0.89, False)]
)
def test_the_accuracy_must_exceed_the_floor(right, least, passed):
    challenger = np.arange(1000) < right
    assert floor(LABELS, challenger, GateLimits(min_accuracy=least)).passed is passed


def test_the_accuracy_must_beat_the_majority():
    labels = np.array([1] * 800 + [0] * 200, np.int8)
    assert not floor(labels, np.arange(1000) < 810, GateLimits()).passed


def test_the_verdict_is_deterministic():
    pair = outcomes(900, 30, 12, 58)
    assert not_worse(*pair, GateLimits()) == not_worse(*pair, GateLimits())


@pytest.mark.parametrize(
    ("counts", "passed"),
    [
        ((4500, 50, 90, 360), True),  # better
        ((4600, 60, 60, 280), True),  # equal
        ((400, 30, 26, 44), False),  # too few reviews to tell
        ((4500, 120, 60, 320), False),  # worse by more than the margin
    ],
)
def test_a_challenger_must_surely_be_within_the_margin_of_the_best(counts, passed):
    check = not_inferior(*outcomes(*counts), GateLimits(), 0.01)
    assert check.passed is passed
    assert passed or check.why.startswith("may be worse than the best version")


def test_a_later_look_needs_more():
    pair = outcomes(4600, 85, 65, 250)
    assert not_inferior(*pair, GateLimits(), 0.01).passed
    assert not not_inferior(*pair, GateLimits(), 0.001).passed


def test_a_passed_check_without_a_reason_adds_none():
    passed = not_inferior(*outcomes(4600, 60, 60, 280), GateLimits(), 0.01)
    both = not_worse(*outcomes(4600, 60, 60, 280), GateLimits()) & passed
    assert both.why.startswith("not worse: ")
    assert not both.why.endswith("; ")
