import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment import exact


@settings(deadline=None)
@given(st.lists(st.floats(-700, 700), min_size=1))
def test_exp_is_within_two_ulps(values):
    results = exact.exp(np.array(values))
    for value, result in zip(values, results, strict=True):
        exactly = float(Decimal(value).exp())
        assert abs(result - exactly) <= 2 * math.ulp(exactly)


def test_sigmoid_of_extreme_log_odds():
    results = exact.sigmoid(np.array([-np.inf, -1e300, -800, 0.0, 800, 1e300, np.inf]))
    assert results.tolist()[3:] == [0.5, 1.0, 1.0, 1.0]
    assert np.all((results[:3] > 0) & (results[:3] < 1e-300))


@settings(deadline=None)
@given(st.floats(allow_nan=False))
def test_sigmoid_of_one_equals_sigmoid_of_many(value):
    alone, among = np.array([value]), np.full(100, value)
    assert set(exact.sigmoid(among).tolist()) == set(exact.sigmoid(alone).tolist())


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**6), min_size=1))
def test_ln_is_correctly_rounded(values):
    assert exact.ln(values).tolist() == [float(Decimal(value).ln()) for value in values]


def test_power_takes_multiples_of_one_half():
    values = np.array([0.0, 1.0, 2.0, 9.0])
    for exponent in (0, 0.5, 1, 1.5, 2):
        np.testing.assert_allclose(exact.power(values, exponent), values**exponent, rtol=1e-15)
    for exponent in (0.3, -0.5):
        with pytest.raises(ValueError, match="not a multiple of one half"):
            exact.power(values, exponent)
