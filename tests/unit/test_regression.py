"""Compare the fit in shards with reference implementations on dense matrices."""

from itertools import islice

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import LogisticRegression

from sentiment import weighting
from sentiment.exact import sigmoid
from sentiment.regression import least_squares_path, platt, score
from sentiment.shards import split_rows


@pytest.fixture
def counts() -> csr_array:
    random = np.random.default_rng(0)
    dense = random.poisson(0.4, (90, 40)).astype(np.uint8)
    dense[7] = 0  # a text without a known n-gram
    return csr_array(dense)


@pytest.fixture
def labels(counts) -> np.ndarray:
    random = np.random.default_rng(1)
    scores = counts.toarray() @ random.normal(size=40) + random.normal(size=90)
    return (scores > np.median(scores)).astype(np.int8)


def test_scale_follows_its_definition(counts, labels):
    counted = weighting.frequencies(split_rows(counts, labels, 25), counts.shape[1])
    scale = weighting.scale(counted, 28, alpha=0.5, ratio_power=0.5, idf_power=1.5)
    present = counts.toarray() > 0
    p = 0.5 + present[labels == 1].sum(axis=0)
    q = 0.5 + present[labels == 0].sum(axis=0)
    ratio = np.log((p / p.sum()) / (q / q.sum()))
    texts = present.sum(axis=0)
    expected = np.abs(ratio) ** 0.5 * np.log(91 / (1 + texts)) ** 1.5
    assert 0 < (texts < 28).sum() < len(texts)
    np.testing.assert_allclose(scale, np.where(texts >= 28, expected, 0), rtol=1e-12)


def test_iterations_equal_partial_least_squares(counts, labels):
    scale = np.random.default_rng(2).uniform(0.5, 2, counts.shape[1])
    dense = counts.toarray().astype(float)
    rows = np.where(dense > 0, 1 + np.log(np.maximum(dense, 1)), 0) * scale
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(lengths > 0, lengths, 1)
    fits = list(islice(least_squares_path(split_rows(counts, labels, 25), scale), 4))
    for components, fitted in enumerate(fits, 1):
        reference = PLSRegression(components, scale=False).fit(rows, labels)
        np.testing.assert_allclose(score(fitted, counts), reference.predict(rows), atol=1e-9)


def test_result_is_independent_of_sharding(counts, labels):
    scale = np.ones(counts.shape[1])
    one, many = (
        list(islice(least_squares_path(split_rows(counts, labels, n), scale), 3))[-1]
        for n in (90, 7)
    )
    np.testing.assert_allclose(one.weights, many.weights, rtol=1e-9)
    assert one.intercept == pytest.approx(many.intercept)


def test_path_ends_without_a_correlated_column(counts):
    assert list(least_squares_path(split_rows(counts, np.ones(90, np.int8)), np.ones(40))) == []
    alternating = np.tile([0, 1], 45).astype(np.int8)
    assert list(least_squares_path(split_rows(counts, alternating), np.zeros(40))) == []


def test_platt_maximises_the_likelihood():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 20_000).astype(np.int8)
    scores = 0.3 * labels + random.normal(0.7, 0.2, len(labels))
    slope, offset = platt(scores, labels)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(scores[:, None], labels)
    assert slope == pytest.approx(reference.coef_[0, 0], rel=1e-2)
    assert offset == pytest.approx(reference.intercept_[0], rel=1e-2)


@pytest.mark.parametrize("scores", [np.array([0.1, 0.2, 0.8, 0.9]), np.full(4, 0.3)])
def test_platt_is_finite_for_degenerate_scores(scores):
    labels = np.array([0, 0, 1, 1], np.int8)
    slope, offset = platt(scores, labels)
    p = sigmoid(slope * scores + offset)
    assert np.isfinite([slope, offset]).all()
    assert np.all((p > 0.1) & (p < 0.9))
