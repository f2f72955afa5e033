from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sentiment.model
import sentiment.store
from components.io import reviews
from sentiment.model import parameters
from sentiment.ngram_keys import lengths
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
def test_scores_equal_the_pipeline_on_any_text(small, words):
    text = " ".join(words)
    scored = Scorer(parameters(small)).score([text])
    np.testing.assert_array_equal(
        scored.probabilities, sentiment.model.probabilities(small, [text])
    )
    tokens = tokenize(text)
    assert scored.tokens.tolist() == [len(tokens)]
    assert scored.unknown.tolist() == [
        sum(token not in small["ngrams"].index() for token in tokens)
    ]


def test_scores_equal_the_pipeline_on_reviews(trained):
    model = sentiment.store.load(trained.model)
    texts = [*reviews.read(trained.test)["text"], "", "good " * 300, "zzgrmpf"]
    expected = sentiment.model.probabilities(model, texts)
    scorer = Scorer(parameters(model))
    for size in (1, 7, len(texts)):
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        scored = np.concatenate([scorer.score(batch).probabilities for batch in batches])
        np.testing.assert_array_equal(scored, expected)


@pytest.mark.parametrize("max_n", [1, 2, 3])
@pytest.mark.parametrize("max_features", [3, 12, 1000])
def test_scores_equal_the_pipeline_for_any_ngrams(max_n, max_features):
    texts = [" ".join(words) for words in product(["good", "bad", "film", "."], repeat=4)]
    labels = [text.count("good") > text.count("bad") for text in texts]
    ngrams = {"ngrams__max_n": max_n, "ngrams__max_features": max_features}
    model = sentiment.model.build().set_params(**ngrams).fit(texts, labels)
    scored = Scorer(parameters(model)).score(texts).probabilities
    np.testing.assert_array_equal(scored, sentiment.model.probabilities(model, texts))


def test_triples_without_kept_pairs_are_found():
    model = sentiment.model.build().fit(TEXTS, LABELS)
    vectorizer, classifier = model["ngrams"], model["classifier"]
    kept = np.flatnonzero(lengths(vectorizer.keys_) != 2)
    vectorizer.keys_ = vectorizer.keys_[kept]
    classifier.weights_, classifier.squares_ = classifier.weights_[kept], classifier.squares_[kept]
    scored = Scorer(parameters(model)).score(TEXTS).probabilities
    np.testing.assert_array_equal(scored, sentiment.model.probabilities(model, TEXTS))
    assert (lengths(vectorizer.keys_) == 3).any()


def test_a_score_is_independent_of_other_texts(small):
    texts = [*TEXTS, "", "zzz"] * 300
    scorer = Scorer(parameters(small), 0.05)
    alone = [scorer.score([text]) for text in texts]
    together = scorer.score(texts)
    assert together.unseen == [position for position, text in enumerate(texts) if text == "zzz"]
    assert together.unseen == [position for position, one in enumerate(alone) if one.unseen]
    for field in ("log_odds", "tokens", "unknown"):
        expected = np.concatenate([getattr(scored, field) for scored in alone])
        np.testing.assert_array_equal(getattr(together, field), expected)


def test_no_texts_give_no_scores(small):
    assert [[*each] for each in Scorer(parameters(small)).score([])] == [[], [], [], []]
