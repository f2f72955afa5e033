from collections import Counter
from collections.abc import Iterable
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from sentiment import merging, negation, ngram_keys, ngrams
from sentiment.tokens import tokenize
from sentiment.vectorizer import NgramVectorizer

WORDS = st.sampled_from(["good", "bad", "film", "not", "a", "<br />", "Éclair", "don't", "!"])
TEXTS = st.lists(st.lists(WORDS, max_size=12).map(" ".join), min_size=1, max_size=8)


def reference_vectorizer(max_n: int, min_df: int) -> CountVectorizer:
    """Return scikit-learn's vectorizer with the same tokens and n-grams."""
    return CountVectorizer(
        analyzer=lambda text: [
            " ".join(tokens[i : i + n])
            for tokens in [tokenize(text)]
            for n in range(1, max_n + 1)
            for i in range(len(tokens) - n + 1)
        ],
        min_df=min_df,
    )


def by_name(matrix, names) -> dict[str, list[float]]:
    return {name: matrix[:, i].tolist() for i, name in enumerate(names)}


def assert_same(texts: list[str], others: list[str], max_n: int, min_df: int) -> None:
    fast, reference = NgramVectorizer(max_n, min_df), reference_vectorizer(max_n, min_df)
    fitted = fast.fit_transform(texts).toarray()
    expected = reference.fit_transform(texts).toarray()
    names, known = fast.get_feature_names_out(), reference.get_feature_names_out()
    frequencies = dict.fromkeys((name for name in known if " " not in name), 0)
    opposites = negation.missing(frequencies)  # which scikit-learn does not add
    assert by_name(fitted, names) == by_name(expected, known) | count_of(opposites, texts)
    np.testing.assert_array_equal(fast.transform(texts).toarray(), fitted)
    others_expected = by_name(reference.transform(others).toarray(), known)
    counted = by_name(fast.transform(others).toarray(), names)
    assert counted == others_expected | count_of(opposites, others)


def count_of(tokens: Iterable[str], texts: list[str]) -> dict[str, list[float]]:
    counts = [Counter(tokenize(text)) for text in texts]
    return {token: [each[token] for each in counts] for token in tokens}


@settings(deadline=None)
@given(texts=TEXTS, others=TEXTS, max_n=st.integers(1, 3), min_df=st.integers(1, 3))
def test_counts_equal_scikit_learn_on_any_text(texts, others, max_n, min_df):
    try:
        reference_vectorizer(max_n, min_df).fit(texts)
    except ValueError:
        with pytest.raises(ValueError, match="nothing to learn"):
            NgramVectorizer(max_n, min_df).fit(texts)
        return
    assert_same(texts, others, max_n, min_df)


def test_counts_equal_scikit_learn_on_reviews(imdb):
    assert_same(imdb["text"].iloc[:150].tolist(), imdb["text"].iloc[-50:].tolist(), 3, 2)


def test_a_row_is_independent_of_other_rows(imdb):
    texts = imdb["text"].iloc[:60].tolist()
    vectorizer = NgramVectorizer().fit(texts)
    together = vectorizer.transform(texts).toarray()
    alone = np.vstack([vectorizer.transform([text]).toarray() for text in texts])
    np.testing.assert_array_equal(together, alone)


def test_an_unknown_text_is_a_row_of_zeros():
    vectorizer = NgramVectorizer(min_df=1).fit(["good film", "bad film"])
    assert vectorizer.transform(["", "unheard of", "<br />"]).nnz == 0
    assert vectorizer.transform([]).shape == (0, len(vectorizer.get_feature_names_out()))


def test_tokenize_drops_tags_and_case():
    assert tokenize("Fine.<br /><br />NOT <i>bad</i> at 1 < 2 > 0") == [
        *("fine", ".", "not", "not_bad", "at", "1", "<", "2", ">", "0")
    ]


@settings(deadline=None)
@given(texts=TEXTS, max_n=st.integers(1, 3), min_df=st.integers(1, 2), block=st.integers(1, 3))
def test_merged_shards_equal_one_count(texts, max_n, min_df, block):
    whole = NgramVectorizer(max_n, min_df)
    try:
        expected = whole.fit_transform(texts).toarray()
    except ValueError:
        return
    shards = [
        ngrams.count(texts[i : i + block], max_n, tokenize) for i in range(0, len(texts), block)
    ]
    with mock.patch.object(merging, "_RANGE_KEYS", 3):
        loaders = [lambda shard=shard: shard for shard in shards]
        tokens, keys = merging.merge(loaders, min_df, max_features=10**6)
    np.testing.assert_array_equal(keys, whole.keys_)
    index = ngram_keys.numbers(tokens)
    rows = [ngrams.columns(shard, index, keys).toarray() for shard in shards]
    np.testing.assert_array_equal(np.vstack(rows), expected)


def test_a_range_holds_few_ngrams_even_of_a_frequent_token():
    """So that memory does not grow with the n-grams that begin with "the"."""
    texts = [f"the w{number} the v{number}" for number in range(200)]
    shards = [ngrams.count(texts[start::2], 2, tokenize) for start in range(2)]
    loaders = [lambda shard=shard: shard for shard in shards]
    counted = []

    def merge_range(loaders, translations, low, high, min_df):
        counted.append(sum(np.subtract(high, low)))
        return merging_range(loaders, translations, low, high, min_df)

    merging_range = merging._merge_range
    with (
        mock.patch.object(merging, "_RANGE_KEYS", 50),
        mock.patch.object(merging, "_merge_range", merge_range),
    ):
        tokens, keys = merging.merge(loaders, 1, max_features=10**6)
    assert sum(counted) == sum(len(shard.keys) for shard in shards)
    assert max(counted) <= 150
    whole = NgramVectorizer(2, 1).fit(texts)
    assert tokens == ngram_keys.unpack(whole.tokens_)
    np.testing.assert_array_equal(keys, whole.keys_)


PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)))


@given(texts=TEXTS, max_n=st.integers(1, 3), length=st.integers(1, 5))
@example(texts=["bad " * 300 + "bag " * 300, ""], max_n=3, length=2)
def test_reduced_counts_equal_counts_of_reduced_tokens(texts, max_n, length):
    counted = ngrams.count(texts, max_n, tokenize)
    before = [array.copy() for array in counted]
    found = ngrams.reduce(counted, lambda token: token[:length])
    expected = ngrams.count(texts, max_n, lambda text: [t[:length] for t in tokenize(text)])
    for name, array, wanted in zip(found._fields, found, expected, strict=True):
        assert array.tolist() == wanted.tolist(), name
        assert array.dtype == wanted.dtype, name
    assert all(np.array_equal(*pair) for pair in zip(before, counted, strict=True))


@given(pairs=PAIRS, shift=st.sampled_from([0, 30, 60]))
def test_pairs_are_counted_beyond_64_bits(pairs, shift):
    pairs = sorted(pairs, key=lambda pair: pair[1])  # sorted by row, as make_keys returns them
    keys = np.array([key for key, _ in pairs], np.int64) << shift
    rows = np.array([row for _, row in pairs], np.int32)
    found = zip(*(array.tolist() for array in ngrams.count_pairs(keys, rows)), strict=True)
    expected = Counter((key << shift, row) for key, row in pairs)
    assert list(found) == [(*pair, times) for pair, times in sorted(expected.items())]


def test_max_features_keeps_the_most_frequent():
    texts = ["a b", "a b", "a c", "d c", "a"]
    fitted = NgramVectorizer(max_n=2, min_df=1, max_features=4).fit(texts)
    assert fitted.get_feature_names_out().tolist() == ["a", "a b", "b", "c"]


def test_counts_are_clipped_at_255():
    counts = NgramVectorizer(max_n=1, min_df=1).fit_transform(["x " * 300, "y " * 255, "z"])
    assert counts.max(axis=0).toarray().tolist() == [255, 255, 1]
