import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sentiment.model
import sentiment.store
from components import reviews
from sentiment.scorer import Scorer
from sentiment.tokens import tokenize

TEXTS = ["good good film", "a bad film , not good", "good fun", "bad and long . good"] * 2
LABELS = [1, 0, 1, 0] * 2
WORDS = st.sampled_from(["good", "bad", "film", "not", "zzz", "<br />", "GOOD", ".", "fun"])


@pytest.fixture(scope="module")
def small():
    return sentiment.model.build().fit(TEXTS, LABELS)


@settings(deadline=None)
@given(words=st.lists(WORDS, max_size=30))
def test_equals_the_pipeline_to_the_last_bit_on_any_text(small, words):
    text = " ".join(words)
    found = Scorer(small).score([text])
    np.testing.assert_array_equal(found.probabilities, sentiment.model.probabilities(small, [text]))
    tokens = tokenize(text)
    assert found.tokens.tolist() == [len(tokens)]
    assert found.unknown.tolist() == [sum(token not in small["ngrams"].index() for token in tokens)]


def test_equals_the_pipeline_to_the_last_bit_on_real_reviews(trained):
    model = sentiment.store.load(trained.model)
    texts = [*reviews.read(trained.test)["text"], "", "good " * 300, "zzgrmpf"]
    expected = sentiment.model.probabilities(model, texts)
    scorer = Scorer(model)
    for size in (1, 7, len(texts)):
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        found = np.concatenate([scorer.score(batch).probabilities for batch in batches])
        np.testing.assert_array_equal(found, expected)


def test_no_texts_are_no_scores(small):
    assert [each.tolist() for each in Scorer(small).score([])] == [[], [], []]
