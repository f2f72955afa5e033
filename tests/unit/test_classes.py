"""More than two classes."""

from copy import deepcopy
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sentiment.model
import sentiment.store
from components.reading import generated
from sentiment import exact, regression, weighting
from sentiment.explanation import Explainer
from sentiment.model import parameters
from sentiment.scorer import Scorer
from sentiment.shards import split_rows

ROWS = list(generated.read())
NAMES = ["negative", "neutral", "positive"]
TEXTS = [row.text for row in ROWS]
LABELS = np.array([NAMES.index(row.label) for row in ROWS], np.int8)
LEARNED = slice(0, 2000)


@pytest.fixture(scope="module")
def model():
    return sentiment.model.build(max_n=2).fit(TEXTS[LEARNED], LABELS[LEARNED])


def test_three_classes_are_told_apart(model):
    p = sentiment.model.probabilities(model, TEXTS[2000:])
    assert p.shape == (1000, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)
    # the first opinion always is of the class, the second in 9 of 10 remarks
    assert (p.argmax(axis=1) == LABELS[2000:]).mean() > 0.9
    assert model.predict(TEXTS[2000:]).tolist() == p.argmax(axis=1).tolist()


def test_the_scorer_equals_the_pipeline_to_the_bit(model):
    scorer, texts = Scorer(parameters(model)), [*TEXTS[2000:2300], "", "unheard of"]
    expected = sentiment.model.probabilities(model, texts)
    for size in (1, 7, 400):
        batches = [texts[i : i + size] for i in range(0, len(texts), size)]
        scored = np.concatenate([scorer.score(batch).probabilities for batch in batches])
        np.testing.assert_array_equal(scored, expected)


@pytest.mark.parametrize("label", [0, 1, 2, None])
def test_parts_add_up_for_each_class(model, label):
    explainer, scorer = Explainer(parameters(model)), Scorer(parameters(model))
    for text in TEXTS[2000:2100]:
        explanation, scored = explainer.explain(text, 3, label), scorer.score([text])
        assert explanation.probabilities == scored.probabilities[0].tolist()
        if label is None:
            assert explanation.label == scored.probabilities[0].argmax()
        shown = sum(ngram.contribution for ngram in explanation.ngrams)
        tokens = sum(share for _, share in explanation.tokens)
        log_odds = scored.log_odds[0, explanation.label]
        assert explanation.log_odds == pytest.approx(log_odds, abs=1e-9)
        assert explanation.bias + shown + explanation.other == pytest.approx(log_odds, abs=1e-9)
        assert explanation.bias + tokens == pytest.approx(log_odds, abs=1e-9)


def test_each_class_is_fitted_as_it_would_be_alone():
    """In passes over the rows that all classes share, each has its own conjugate gradients."""
    vectorizer = sentiment.model.build(max_n=1)["ngrams"]
    counts = vectorizer.fit_transform(TEXTS[LEARNED])
    labels = LABELS[LEARNED]
    scale = np.ones(counts.shape[1])
    rows = split_rows(counts, labels, 300)
    together = list(zip(range(4), regression.least_squares_path(rows, scale, 3), strict=False))
    assert len(together) == 4
    for label in range(3):
        apart = split_rows(counts, (labels == label).astype(np.int8), 300)
        alone = regression.least_squares_path(apart, scale)
        for (_, one), other in zip(together, islice(alone, 4), strict=True):
            np.testing.assert_allclose(one.weights[:, label], other.weights, atol=1e-9)
            assert one.intercept[label] == pytest.approx(other.intercept)


def test_a_class_without_rows_does_not_stop_the_others():
    rows = split_rows(*_counts(LABELS[LEARNED] // 2), 300)
    fitted = next(regression.least_squares_path(rows, np.ones(rows[0]()[0].shape[1]), 3))
    assert np.isfinite(fitted.weights).all()
    assert not fitted.weights[:, 2].any()


def _counts(labels):
    return sentiment.model.build(max_n=1)["ngrams"].fit_transform(TEXTS[LEARNED]), labels


def test_two_classes_weigh_columns_as_the_formula_of_more():
    counts, labels = _counts((LABELS[LEARNED] > 0).astype(np.int8))
    rows = split_rows(counts, labels, 300)
    two, both = weighting.frequencies(rows, counts.shape[1]), [labels == 0, labels == 1]
    seen = counts.toarray() > 0
    more = weighting.Frequencies(
        two.rows, two.texts, np.array([seen[each].sum(axis=0) for each in both])
    )
    given_parameters = (1, 1.0, 0.5, 1.5)
    np.testing.assert_allclose(
        weighting.scale(two, *given_parameters), weighting.scale(more, *given_parameters)
    )


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-800, 800), min_size=3, max_size=3), min_size=1, max_size=40))
def test_probabilities_do_not_depend_on_other_texts(log_odds):
    together = exact.class_probabilities(np.array(log_odds))
    for row, alone in zip(together, log_odds, strict=True):
        assert row.tolist() == exact.class_probabilities(np.array([alone]))[0].tolist()
        assert row.sum() == pytest.approx(1)


def test_names_survive_the_file(model, tmp_path):
    model = deepcopy(model)
    model["classifier"].adopt(model["classifier"].linear(), NAMES)
    sentiment.store.save(model, tmp_path)
    loaded = sentiment.store.load(tmp_path)
    assert sentiment.model.class_names(loaded) == tuple(NAMES)
    expected = sentiment.model.probabilities(model, TEXTS[:50])
    np.testing.assert_array_equal(sentiment.model.probabilities(loaded, TEXTS[:50]), expected)


def test_a_model_without_names_has_the_usual_two():
    model = sentiment.model.build(max_n=1).fit(TEXTS[LEARNED], LABELS[LEARNED] // 2)
    del model["classifier"].names_
    assert sentiment.model.class_names(model) == ("negative", "positive")
