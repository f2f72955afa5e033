import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sentiment.model
import sentiment.store
from components import reviews
from sentiment.scorer import Scorer

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
    assert Scorer(small).probability(text) == sentiment.model.probabilities(small, [text])[0]


def test_equals_the_pipeline_to_the_last_bit_on_real_reviews(trained):
    model = sentiment.store.load(trained.model)
    texts = [*reviews.read(trained.test)["text"], "", "good " * 300, "zzgrmpf"]
    scorer = Scorer(model)
    alone = np.array([scorer.probability(text) for text in texts])
    np.testing.assert_array_equal(alone, sentiment.model.probabilities(model, texts))
