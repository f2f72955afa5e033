"""The kernel counts as NumPy does and multiplies as SciPy does, to the last bit."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.metrics import log_loss

from sentiment import merging, ngram_keys, ngrams, regression, tokens, training, weighting
from sentiment.kernel import counting, library, merges, passes
from sentiment.kernel.counting import Counter
from sentiment.kernel.merges import Merges
from sentiment.kernel.passes import Passes
from sentiment.shards import split_rows

WORDS = st.sampled_from(["good", "bad", "film", "not", "—", "für", "ß", "映画", ".", "zzz"])


@pytest.fixture(scope="module")
def counter(kernel):
    loaded = library.load_unlocked(kernel)
    assert loaded is not None
    return Counter(loaded)


@pytest.fixture(scope="module")
def merger(kernel):
    loaded = library.load_unlocked(kernel)
    assert loaded is not None
    return Merges(loaded)


@pytest.fixture(scope="module")
def compiled(kernel):
    loaded = library.load_unlocked(kernel)
    assert loaded is not None
    return Passes(loaded)


def check_counts(counter: Counter, prepared, max_n: int) -> None:
    expected = ngrams.count_numpy(prepared, max_n)
    for name, found, wanted in zip(
        expected._fields, counter.count(prepared, max_n), expected, strict=True
    ):
        assert found.dtype == wanted.dtype, name
        np.testing.assert_array_equal(found, wanted, name)


LISTS = st.lists(WORDS, max_size=30)


@settings(deadline=None)
@given(texts=st.lists(LISTS.map(" ".join) | LISTS, max_size=5), max_n=st.integers(1, 3))
def test_ngrams_are_counted_as_by_numpy(counter, texts, max_n):
    """A text is prepared as a text or as the list of its tokens."""
    check_counts(counter, texts, max_n)


@settings(deadline=None)
@given(texts=st.lists(st.text(max_size=60), max_size=5), max_n=st.integers(1, 3))
def test_ngrams_of_any_unicode_are_counted_as_by_numpy(counter, texts, max_n):
    check_counts(counter, [*map(tokens.prepare, texts)], max_n)


def test_many_distinct_tokens_and_counts_beyond_a_byte_are_those_of_numpy(counter):
    """The table of tokens grows from 2,048; tokens share their first eight bytes."""
    many = " ".join(f"word-numbr{i}{'x' * (i % 13)}" for i in range(20_000))
    check_counts(counter, [many, "good " * 300, "", f"bad {many[:5_000]}"], 3)


def test_reviews_are_counted_as_by_numpy(counter, imdb):
    check_counts(counter, [*map(tokens.prepare, imdb["text"][:500])], 3)


def test_a_surrogate_is_refused_as_by_numpy(counter):
    for count in (counter.count, ngrams.count_numpy):
        with pytest.raises(UnicodeEncodeError):
            count(["good \ud800"], 3)


def test_more_distinct_tokens_than_a_key_holds_are_refused(counter, monkeypatch):
    monkeypatch.setattr("sentiment.kernel.counting.MASK", 2)
    with pytest.raises(ValueError, match="3 distinct tokens in one shard; make the shards smaller"):
        counter.count(["a b c a"], 1)


def test_counts_use_the_kernel_where_it_is_compiled(counter, monkeypatch):
    expected = ngrams.count_numpy(["a fine film"], 3)
    monkeypatch.setattr(counting, "load", lambda: counter)
    monkeypatch.setattr(ngrams, "count_numpy", None)
    np.testing.assert_array_equal(
        ngrams.count(["a fine film"], 3, tokens.prepare).keys, expected.keys
    )


def merged(counted, min_df, max_features):
    """Return the tokens and keys of counted shards, and the rows of each, as lists."""
    try:
        tokens, keys = merging.merge(
            [lambda each=each: each for each in counted], min_df, max_features
        )
    except ValueError as error:
        return str(error)
    index = ngram_keys.numbers(tokens)
    rows = [ngrams.columns(each, index, keys) for each in counted]
    cells = [[part.tolist() for part in (row.indptr, row.indices, row.data)] for row in rows]
    return tokens, keys.tolist(), cells, [row.indices.dtype for row in rows]


SHARDS = st.lists(st.lists(LISTS, max_size=5), min_size=1, max_size=5)


@settings(deadline=None)
@given(
    texts=SHARDS,
    max_n=st.integers(1, 3),
    min_df=st.integers(1, 3),
    limits=st.sampled_from([(1, 5), (10, 10**6), (10**6, 3)]),
)
def test_shards_are_merged_as_by_numpy(merger, texts, max_n, min_df, limits):
    counted = [ngrams.count_numpy(each, max_n) for each in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "_RANGE_KEYS", limits[0])
        patch.setattr(merges, "load", lambda: None)
        expected = merged(counted, min_df, limits[1])
        patch.setattr(merges, "load", lambda: merger)
        patch.setattr(merging, "_merge_runs", None)
        patch.setattr(ngrams, "_keep", None)
        assert merged(counted, min_df, limits[1]) == expected


def test_damaged_counts_are_refused(merger):
    keys, numbers = np.array([1, 2, 3]) << 42, np.array([0, 1, 3, 2])
    starts, counts = np.array([0, 1, 3], np.int32), np.ones(3, np.uint8)
    columns = np.array([0, 0, 2], np.int32)
    for use in (
        lambda: merger.translate(keys, np.ones(3, np.int32), numbers),
        lambda: merger.find(keys, numbers, keys),
        lambda: merger.keep((starts, columns, counts), columns[:2]),
        lambda: merger.keep((starts, -columns, counts), columns),
        lambda: merger.keep((starts[::-1], columns, counts), columns),
        lambda: merger.keep((starts + 1, columns, counts), columns),
    ):
        with pytest.raises(ValueError, match="damaged; run count again"):
            use()


@st.composite
def shards(draw):
    """Draw counts, labels and the number of classes."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows, width = draw(st.integers(1, 40)), draw(st.integers(1, 60))
    dense = random.poisson(draw(st.sampled_from([0.02, 0.3, 20])), (rows, width)).astype(np.uint8)
    classes = draw(st.integers(2, 4))
    return csr_array(dense), random.integers(0, classes, rows).astype(np.int8), classes


def fitted(counts, labels, classes, rows):
    """Return all that training computes from shards, as bytes."""
    shards = split_rows(counts, labels, rows)
    counted = weighting.frequencies(shards, counts.shape[1], classes)
    found = [*counted[1:]]
    scale = weighting.scale(counted, 1, 1.0, 0.5, 1.5)
    for linear in islice(regression.least_squares_path(shards, scale, classes), 4):
        found += [*linear, regression.score(linear, counts)]
    return [np.asarray(each).tobytes() for each in found]


@settings(deadline=None)
@given(given=shards(), rows=st.integers(1, 40))
def test_fits_are_those_of_scipy(compiled, given, rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "load", lambda: None)
        expected = fitted(*given, rows)
        patch.setattr(passes, "load", lambda: compiled)
        patch.setattr(regression, "_terms", None)  # SciPy's products need it
        assert fitted(*given, rows) == expected


def test_counts_of_other_types_are_left_to_scipy(compiled, monkeypatch):
    monkeypatch.setattr(passes, "load", lambda: compiled)
    counts = csr_array(np.eye(3, dtype=np.uint8))
    assert passes.of(counts) is compiled
    assert passes.of(counts.astype(np.int64)) is None


def damaged() -> list[csr_array]:
    """Return counts with a column beyond the matrix, a negative one, and unordered rows."""
    found = [csr_array(np.ones((3, 4), np.uint8)) for _ in range(3)]
    found[0].indices[5], found[1].indices[5], found[2].indptr[1] = 4, -1, 9
    return found


@pytest.mark.parametrize("counts", damaged())
@pytest.mark.parametrize("uses_kernel", [True, False])
def test_a_damaged_shard_is_refused(compiled, monkeypatch, counts, uses_kernel):
    monkeypatch.setattr(passes, "load", lambda: compiled if uses_kernel else None)
    ones, labels = np.ones(4), np.array([0, 1, 0], np.int8)
    shard = lambda: (counts, labels)  # noqa: E731
    for use in (
        lambda: regression.inverse_lengths(counts, ones),
        lambda: regression._product(counts, ones),
        lambda: regression._step(ones, shard, np.ones(3)),
        lambda: regression._start(ones, 2, shard),
        lambda: weighting.frequencies([shard], 4),
    ):
        with pytest.raises(ValueError, match="damaged; run merge again"):
            use()


def test_log_loss_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    p = random.dirichlet([0.1, 0.2, 0.3], 500)
    p[0], labels = [0, 1, 0], random.integers(0, 3, 500).astype(np.int8)
    assert training.log_loss(p, labels) == pytest.approx(log_loss(labels, p), abs=1e-12)
