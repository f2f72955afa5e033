# ruff: noqa: RUF001

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import sentiment.model
from sentiment import merging, negation, ngram_keys, ngrams
from sentiment.kernel import library
from sentiment.kernel.marking import Kinds, Marker
from sentiment.model import NgramClassifier
from sentiment.tokens import TOKENIZERS, prepare, tokenize
from sentiment.vectorizer import NgramVectorizer

MARKED = [
    ("It is not a good film.", "it is not a not_good not_film ."),
    ("It isn't a good film.", "it is not a not_good not_film ."),
    ("It isn’t good", "it is not not_good"),
    ("It isnt good", "it isnt good"),
    ("le film dont on parle", "le film dont on parle"),
    ("I can't stand it, really", "i can not not_stand it , really"),
    ("I cannot stand it", "i can not not_stand it"),
    ("They won't, we shan't see", "they will not , we shall not not_see"),
    ("It never was very funny at all", "it never was very not_funny at all"),
    ("not one two three four", "not one not_two not_three not_four"),
    ("not bad, dull but good", "not not_bad , dull but good"),
    ("not dull but good", "not not_dull but good"),
    ("not dull (good)", "not not_dull ( good )"),
    ("not dull<br /><br />good", "not not_dull not_good"),
    ("not dull and never good", "not not_dull and never not_good"),
    ("I didn't say it wasn't good", "i did not not_say it was not not_good"),
    ("not only good", "not only good"),
    ("not 7 good films", "not 7 not_good not_films"),
    ("a knot, nothing, don't", "a knot , nothing , do not"),
    ("different moment", "different moment"),
    ("n't good nt good _not good", "n ' t good nt good _not good"),
    ("not_good", "not_good"),
    ("不 not 好", "不 not 好"),
    ("not cafe\u0301", "not not_café"),
    ("no\u00adt go\u200bod", "not not_good"),
]


@pytest.mark.parametrize(("text", "tokens"), MARKED)
def test_words_after_a_negation_are_marked(text, tokens):
    assert " ".join(tokenize(text)) == tokens


WORDS = ["not", "never", "cannot", "can't", "won't", "isnt", "n't", "good", "the", "but", ",", "7"]
TEXTS = st.text(alphabet="not ' good,ca") | st.lists(st.sampled_from(WORDS)).map(" ".join)


@given(text=TEXTS)
def test_edits_are_in_order_and_begin_tokens(text):
    done = 0
    for start, end, replacement in negation.edits(text):
        assert done <= start <= end <= len(text)
        assert replacement[0] == " " or not text[:start][-1:].isalnum()
        done = end


@pytest.fixture(scope="module")
def marker(kernel):
    compiled = library.load(kernel)
    assert compiled is not None
    return Marker(compiled, negation.kinds())


@settings(max_examples=1_000)
@given(text=TEXTS | st.text(st.characters(max_codepoint=127)))
@example("not <n'ta0 not a not't cannot't n't isn'ts dont't not _a not A 7th")
def test_the_kernel_marks_as_the_interpreter_does(marker, text):
    assert marker.marked(text) == negation.changed(text, negation.edits(text))


@pytest.mark.parametrize("unit", ["not x ", "isn't ", "wont x y z ", "cannot ", "n't", "\0not b\0"])
def test_the_kernel_marks_long_texts(marker, unit):
    text = unit * 20_000
    assert marker.marked(text) == negation.changed(text, negation.edits(text))


def test_the_kernel_marks_reviews(marker, imdb):
    texts = [text.lower() for text in imdb["text"][:500] if text.isascii()]
    changed = [negation.changed(text, negation.edits(text)) for text in texts]
    assert [*map(marker.marked, texts)] == changed
    assert changed != texts


def test_words_that_the_kernel_cannot_hold_are_refused(kernel):
    with pytest.raises(ValueError, match="'considering' has more than 8 bytes"):
        Marker(library.load(kernel), {"considering": Kinds(function=True)})


@given(text=TEXTS)
def test_without_a_negation_nothing_changes(text):
    rest = re.sub("n(?=o|e|'?t)", "m", text)
    assert negation.marked(rest) == rest
    assert tokenize(rest) == TOKENIZERS[2].tokenize(rest)


GOOD = ["a lovely film", "lovely acting and not dull", "lovely", "fine", "fine acting"] * 4
BAD = ["a dreadful film", "dreadful acting and not lovely", "dreadful", "dull", "dull acting"] * 4


@pytest.fixture(scope="module")
def fitted():
    vectorizer = NgramVectorizer(min_df=1)
    counts = vectorizer.fit_transform(GOOD + BAD)
    labels = np.array([1] * len(GOOD) + [0] * len(BAD))
    classifier = NgramClassifier().fit(counts, labels, vectorizer.opposites())
    return vectorizer, classifier


def test_each_word_has_an_opposite(fitted):
    vectorizer, _ = fitted
    names = vectorizer.get_feature_names_out()
    marked, plain = vectorizer.opposites()
    assert [names[column] for column in marked] == [
        negation.MARK + names[column] for column in plain
    ]
    assert {*names[plain]} == {*["lovely", "film", "acting", "dull", "dreadful", "fine"]}


def test_the_most_frequent_words_have_opposites_if_keys_cannot_number_all(monkeypatch):
    monkeypatch.setattr(merging, "MASK", 7)
    counted = ngrams.count(["good film not dull", "good film", "good fun", "fun"], 1, prepare)
    tokens, keys = merging.merge([lambda: counted], 1, 100)
    assert tokens == ["film", "fun", "good", "not", "not_dull", "not_film", "not_good"]
    assert (keys >> 2 * ngram_keys.BITS).tolist() == [*range(1, 8)]


def test_the_weight_of_a_marked_word_is_minus_that_of_the_word(fitted):
    vectorizer, classifier = fitted
    marked, plain = vectorizer.opposites()
    np.testing.assert_array_equal(classifier.weights_[marked], -classifier.weights_[plain])
    np.testing.assert_array_equal(classifier.squares_[marked], classifier.squares_[plain])


def test_words_that_a_writer_has_marked_have_weights():
    """Some data sets have "not not_good" for "not good"; negation then marks it once more."""
    vectorizer = NgramVectorizer(max_n=1, min_df=1)
    texts = [*["good film", "not not_dull"] * 4, *["dull film", "not not_good"] * 4]
    counts = vectorizer.fit_transform(texts)
    classifier = NgramClassifier().fit(counts, [1] * 8 + [0] * 8, vectorizer.opposites())
    found = classifier.predict(vectorizer.transform(["not not_good", "not not_dull"]))
    assert found.tolist() == [0, 1]


def test_what_no_text_says_is_turned(fitted):
    vectorizer, classifier = fitted
    texts = ["dreadful", "not dreadful", "fine", "not fine"]
    assert "not_dreadful" not in {token for text in GOOD + BAD for token in tokenize(text)}
    assert classifier.predict(vectorizer.transform(texts)).tolist() == [0, 1, 1, 0]


def test_three_classes_have_opposites():
    vectorizer = NgramVectorizer(min_df=1)
    texts = [*GOOD, *BAD, *(["it is a film about trains", "trains and not planes"] * 6)]
    labels = np.array([2] * len(GOOD) + [0] * len(BAD) + [1] * 12)
    classifier = NgramClassifier().fit(
        vectorizer.fit_transform(texts), labels, vectorizer.opposites()
    )
    marked, plain = vectorizer.opposites()
    np.testing.assert_array_equal(classifier.weights_[marked], -classifier.weights_[plain])


def test_texts_without_negation_have_no_opposites():
    vectorizer = NgramVectorizer(min_df=1).fit(["un bon film", "un mauvais film"])
    assert vectorizer.get_feature_names_out().tolist() == [
        *("bon", "bon film", "film", "mauvais", "mauvais film"),
        *("un", "un bon", "un bon film", "un mauvais", "un mauvais film"),
    ]
    assert len(vectorizer.opposites().marked) == 0


def test_opposites_are_among_the_most_frequent():
    texts = ["not good film"] * 3 + ["rare film"] * 2
    kept = NgramVectorizer(max_n=1, min_df=2, max_features=4).fit(texts)
    assert kept.get_feature_names_out().tolist() == ["film", "not", "not_film", "not_good"]


def test_an_opposite_needs_both_columns():
    tokens = ["bad", "not_bad", "not_good"]
    keys = np.array([number << 2 * ngram_keys.BITS for number in (1, 2, 3)], np.int64)
    found = negation.opposites(tokens, keys)
    assert [each.tolist() for each in found] == [[1], [0]]
    assert len(negation.opposites(tokens, keys[1:]).marked) == 0


@pytest.mark.parametrize("version", [1, 2])
def test_models_of_earlier_versions_keep_their_tokens(version):
    model = sentiment.model.build(min_df=1)
    model["ngrams"].tokens = version
    model.fit(GOOD + BAD, [1] * len(GOOD) + [0] * len(BAD))
    assert not any(name.startswith("not_") for name in model["ngrams"].get_feature_names_out())
