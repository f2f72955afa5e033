import numpy as np
import pytest
from sklearn.metrics import f1_score

from components.guards import macro_f1, parts
from components.verdict import GateLimits

LIMITS = GateLimits()
RNG = np.random.default_rng(0)


def outcomes(both: int, lost: int, gained: int, neither: int):
    before = [True] * (both + lost) + [False] * (gained + neither)
    after = [True] * both + [False] * lost + [True] * gained + [False] * neither
    return np.array(before), np.array(after)


def test_a_lost_class_is_named():
    right = {"positive": outcomes(900, 10, 12, 78), "neutral": outcomes(60, 30, 5, 5)}
    check = parts(right, LIMITS)
    assert not check.passed
    assert check.why.startswith("loses accuracy on neutral 0.650 against 0.900 (p ")
    assert check.figures == {"worst_part_difference": -0.25}


@pytest.mark.parametrize(
    "counts",
    [
        (950, 25, 0, 25),  # surely worse, within the margin
        (20, 4, 2, 4),  # beyond the margin, by chance
        (50, 0, 0, 50),
    ],
)
def test_a_part_is_not_lost_by_little_or_by_chance(counts):
    assert parts({"short": outcomes(*counts)}, LIMITS).passed


def test_many_parts_do_not_refuse_an_equal_challenger():
    refused = 0
    for _ in range(200):
        pairs = {}
        for number in range(20):
            right = RNG.random((2, 100)) < 0.8
            pairs[str(number)] = (right[0], right[1])
        refused += not parts(pairs, LIMITS).passed
    assert refused <= 20  # 5% of 200, and what chance adds


def test_macro_f1_is_that_of_sklearn():
    labels, before, after = RNG.integers(0, 3, (3, 500)).astype(np.int8)
    figures = macro_f1(labels, before, after, LIMITS).figures
    assert figures["champion_macro_f1"] == pytest.approx(f1_score(labels, before, average="macro"))
    assert figures["challenger_macro_f1"] == pytest.approx(f1_score(labels, after, average="macro"))


def test_a_rare_class_that_is_answered_no_more_is_a_loss():
    labels = np.array([0] * 480 + [1] * 480 + [2] * 40, np.int8)
    never = np.where(labels == 2, 1, labels).astype(np.int8)
    check = macro_f1(labels, labels, never, LIMITS)
    assert not check.passed
    assert check.why.startswith("loses macro-F1 0.6")
    assert macro_f1(labels, never, labels, LIMITS).passed


def test_a_class_that_the_reviews_lack_is_an_error_of_the_model():
    labels = np.array([0, 1] * 50, np.int8)
    foreign = np.where(np.arange(100) < 20, -1, labels).astype(np.int8)
    assert macro_f1(labels, labels, foreign, LIMITS).figures["challenger_macro_f1"] < 0.9
