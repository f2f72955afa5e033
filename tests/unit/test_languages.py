import numpy as np
import pytest

import sentiment.model
from tests.languages import LANGUAGES, reviews


def accuracy(language: str, tokens: int) -> float:
    texts, labels = reviews(language, 1200)
    model = sentiment.model.build().set_params(ngrams__tokens=tokens)
    model.fit(texts[:900], labels[:900])
    return float(np.mean(model.predict(texts[900:]) == labels[900:]))


@pytest.mark.parametrize("language", LANGUAGES)
def test_reviews_in_any_script_are_learned(language):
    assert accuracy(language, tokens=2) >= 0.97


def test_the_first_tokens_learned_nothing_in_chinese():
    assert accuracy("Chinese", tokens=1) < 0.6
