import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binom, norm

from components.noninferiority import p_value


def true_level(rows: int, disagreement: float, margin: float, level: float) -> float:
    """Return the probability that a model which is worse by just the margin passes."""
    spread = 9 * np.sqrt(rows * disagreement)
    found = 0.0
    for differing in range(
        max(0, int(rows * disagreement - spread)), int(rows * disagreement + spread)
    ):
        gained = np.arange(differing + 1)
        passes = p_value(gained, differing - gained, rows, margin) <= level
        share = (disagreement - margin) / 2 / disagreement
        within = binom.pmf(gained, differing, share)[passes].sum()
        found += binom.pmf(differing, rows, disagreement) * within
    return float(found)


@pytest.mark.parametrize("rows", [500, 5000])
@pytest.mark.parametrize("disagreement", [0.01, 0.02, 0.08])
@pytest.mark.parametrize("level", [0.05, 0.001])
def test_level_is_kept(rows, disagreement, level):
    found = true_level(rows, disagreement, 0.01, level)
    assert found <= 1.02 * level
    if rows == 5000:
        assert found > 0.45 * level  # a test that never passes keeps every level


@pytest.mark.parametrize(("gained", "lost"), [(30, 60), (90, 60), (0, 20), (20, 0), (100, 100)])
def test_the_statistic_uses_the_likeliest_shares_at_the_margin(gained, lost):
    rows, margin = 5000, 0.01
    same = rows - gained - lost

    def unlikeliness(share):
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = (gained * np.log(share) if gained else 0) + lost * np.log(share + margin)
            return -(parts + same * np.log(1 - 2 * share - margin))

    share = minimize_scalar(
        unlikeliness, bounds=(0, 0.2), options={"xatol": 1e-12}, method="bounded"
    ).x
    z = (gained - lost + rows * margin) / np.sqrt(rows * (2 * share + margin - margin**2))
    assert p_value(gained, lost, rows, margin) == pytest.approx(norm.sf(z), rel=1e-4)


def test_arrays_are_tested_elementwise():
    found = p_value([30, 90], [60, 60], 5000, 0.01)
    assert found.tolist() == [
        float(p_value(30, 60, 5000, 0.01)),
        float(p_value(90, 60, 5000, 0.01)),
    ]


def test_equal_models_pass_at_no_level_without_a_margin():
    assert p_value(0, 0, 5000, 0.0) == 0.5
