import numpy as np
import pytest

import sentiment.model
from sentiment.model import parameters
from sentiment.scorer import Scorer
from tests.languages import LANGUAGES, reviews


def fitted(language: str, tokens: int):
    texts, labels = reviews(language, 1200)
    model = sentiment.model.build().set_params(ngrams__tokens=tokens)
    return model.fit(texts[:900], labels[:900]), texts[900:], labels[900:]


@pytest.mark.parametrize("language", LANGUAGES)
def test_reviews_in_any_script_are_learned_and_served(language):
    model, texts, labels = fitted(language, tokens=2)
    assert np.mean(model.predict(texts) == labels) >= 0.97
    served = Scorer(parameters(model)).score(texts).probabilities
    np.testing.assert_array_equal(served, sentiment.model.probabilities(model, texts))


def test_the_first_tokens_learned_nothing_in_chinese():
    model, texts, labels = fitted("Chinese", tokens=1)
    assert np.mean(model.predict(texts) == labels) < 0.6
