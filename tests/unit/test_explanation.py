from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sentiment.model
import sentiment.store
from components.io import reviews
from sentiment import negation
from sentiment.explanation import Explainer
from sentiment.linear import TERM_FREQUENCY
from sentiment.model import parameters
from sentiment.scorer import Scorer
from sentiment.tokens import TOKENIZERS, tokenize

TEXTS = ["good good film", "a bad film , not good", "good fun", "bad and long . good"] * 2
LABELS = [1, 0, 1, 0] * 2
WORDS = ["good", "bad", "film", "not", "zzz", "<br />", "GOOD", ".", "fun", "İ", "😀", "and"]
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)
ALL = 10**6


@pytest.fixture(scope="module")
def small():
    return sentiment.model.build().fit(TEXTS, LABELS)


def naive(model, text: str) -> dict[str, float]:
    """Return the contribution of each known n-gram, computed on strings."""
    linear = model["classifier"].linear()
    column = {name: i for i, name in enumerate(model["ngrams"].get_feature_names_out())}
    tokens = tokenize(text)
    counts = Counter(
        " ".join(tokens[i : i + n]) for n in (1, 2, 3) for i in range(len(tokens) - n + 1)
    )
    terms = {name: TERM_FREQUENCY[min(counts[name], 255)] for name in counts if name in column}
    length = sum(term**2 * linear.squares[column[name]] for name, term in terms.items()) ** 0.5
    length = length or np.inf
    return {name: term * linear.weights[column[name]] / length for name, term in terms.items()}


def assert_adds_up(explanation) -> None:
    shown = sum(ngram.contribution for ngram in explanation.ngrams)
    by_ngram = explanation.bias + shown + explanation.other
    by_token = explanation.bias + sum(share for _, share in explanation.tokens)
    assert by_ngram == pytest.approx(explanation.log_odds, abs=1e-9)
    assert by_token == pytest.approx(explanation.log_odds, abs=1e-9)


@settings(deadline=None)
@given(text=SENTENCES | st.text(), top=st.integers(0, 12))
def test_parts_add_up_for_any_text(small, text, top):
    explanation = Explainer(parameters(small)).explain(text, top)
    assert_adds_up(explanation)
    assert len(explanation.ngrams) <= top
    scorer = Scorer(parameters(small))
    assert explanation.log_odds == pytest.approx(scorer.score([text]).log_odds[0], abs=1e-9)
    assert explanation.probabilities == scorer.score([text]).probabilities[0].tolist()


@pytest.mark.parametrize("top", [0, 10, ALL])
def test_parts_add_up_for_reviews(trained, top):
    model = sentiment.store.load(trained.model)
    explainer, scorer = Explainer(parameters(model)), Scorer(parameters(model))
    texts = reviews.read(trained.test)["text"].tolist()[:200]
    explanations = [explainer.explain(text, top) for text in texts]
    for text, explanation in zip(texts, explanations, strict=True):
        assert_adds_up(explanation)
        assert explanation.log_odds == pytest.approx(scorer.score([text]).log_odds[0], abs=1e-9)
    served = sentiment.model.probabilities(model, texts).tolist()
    assert [explanation.probabilities for explanation in explanations] == served


@settings(deadline=None)
@given(text=SENTENCES)
def test_contributions_equal_a_naive_computation(small, text):
    explanation = Explainer(parameters(small)).explain(text, ALL)
    expected = naive(small, text)
    contributions = {ngram.text: ngram.contribution for ngram in explanation.ngrams}
    assert contributions == pytest.approx(expected, abs=1e-12)
    strengths = [abs(ngram.contribution) for ngram in explanation.ngrams]
    assert strengths == sorted(strengths, reverse=True)


@settings(deadline=None)
@given(text=SENTENCES)
def test_spans_are_all_occurrences_of_an_ngram(small, text):
    tokens = tokenize(text)
    for ngram in Explainer(parameters(small)).explain(text, ALL).ngrams:
        words = ngram.text.split(" ")
        starts = range(len(tokens) - len(words) + 1)
        assert len(ngram.spans) == sum(tokens[i : i + len(words)] == words for i in starts)
        spans = [tuple(span) for span in ngram.spans.tolist()]
        assert spans == sorted(set(spans))
        for start, end in spans:
            shown = TOKENIZERS[2].tokenize(text[start:end])  # without the marks of negation
            assert shown == [word.removeprefix(negation.MARK) for word in words]


def test_tokens_share_contributions_equally(small):
    text = "Good film, zzz. Good<br />film!"
    explanation = Explainer(parameters(small)).explain(text, ALL)
    expected = np.zeros(len(explanation.tokens))
    for ngram in explanation.ngrams:
        share = ngram.contribution / len(ngram.spans) / len(ngram.text.split(" "))
        for start, end in ngram.spans:
            expected += [share * (start <= s and e <= end) for (s, e), _ in explanation.tokens]
    assert [share for _, share in explanation.tokens] == pytest.approx(expected, abs=1e-12)
    words = {text[start:end]: share for (start, end), share in explanation.tokens}
    assert words["Good"] > 0
    assert words["zzz"] == 0


def test_parts_add_up_beyond_255_occurrences(small):
    explanation = Explainer(parameters(small)).explain("good " * 300, ALL)
    assert_adds_up(explanation)
    assert len(explanation.ngrams[0].spans) >= 299
    assert explanation.log_odds == Scorer(parameters(small)).score(["good " * 300]).log_odds[0]


def test_an_unknown_text_has_only_the_bias(small):
    for text in ("", "unheard of", "<br />"):
        explanation = Explainer(parameters(small)).explain(text, 10)
        assert explanation.ngrams == []
        assert explanation.other == 0
        assert explanation.log_odds == explanation.bias
        assert all(share == 0 for _, share in explanation.tokens)
