import numpy as np
import pytest
from scipy.stats import binomtest

from components.report import sample_size


@pytest.mark.parametrize(("difference", "disagreement"), [(0.01, 0.05), (0.02, 0.1)])
def test_the_power_is_as_planned(difference, disagreement):
    """Of 400 comparisons of that size, four in five find the difference by McNemar's test."""
    rows = sample_size.rows_for(difference, disagreement)
    gained, lost = (disagreement + difference) / 2, (disagreement - difference) / 2
    rng = np.random.default_rng(0)
    draws = rng.multinomial(rows, [gained, lost, 1 - disagreement], 400)
    found = np.mean([binomtest(int(a), int(a + b)).pvalue < 0.05 for a, b, _ in draws])
    assert 0.72 < found < 0.86


def test_both_directions_agree():
    for rows in (200, 1_000, 5_056, 100_000):
        seen = sample_size.visible_difference(rows, 0.05)
        assert sample_size.rows_for(seen, 0.05) <= rows
        assert sample_size.rows_for(seen * 0.99, 0.05) > rows


def test_the_line_says_how_many_more():
    assert sample_size.describe(1000) == (
        "1000 test reviews show 2.0 points between models that disagree on 5% of them; 2923 more"
        " show one point"
    )
    assert "40 test reviews show no difference" in sample_size.describe(40)
    assert sample_size.describe(5056, 0.001) == (
        "the models disagree on 0.10% of 5056 test reviews, less than a point"
    )


def test_too_few_disagreements_are_refused():
    with pytest.raises(ValueError, match=r"no difference of 0\.02"):
        sample_size.rows_for(0.02, 0.01)
