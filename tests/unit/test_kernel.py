"""The compiled kernel gives the bits of NumPy, and is only used if it is of this source."""

import logging
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sentiment.model
import sentiment.store
from components.io import reviews
from sentiment.compiled_scores import CompiledScores
from sentiment.kernel import build, library
from sentiment.model import parameters
from sentiment.ngram_keys import lengths
from sentiment.scorer import Scorer
from sentiment.scores import NumpyScores
from tests.conftest import REPO

TEXTS = ["good good film", "a bad film , not good", "gut — für 映画", "bad and long . ß"] * 2
WORDS = st.sampled_from(["good", "bad", "film", "not", "—", "für", "ß", "映画", "\n", ".", "zzz"])


@pytest.fixture(scope="module")
def compiled(kernel):
    loaded = library.load(kernel)
    assert loaded is not None
    return loaded


def models():
    """Yield models of two and of three classes, with and without stems, of one n-gram, and old."""
    for classes, options in ((2, {}), (3, {}), (2, {"stemmer": "first-4"}), (2, {"max_n": 1})):
        labels = [label % classes for label in (1, 0, 2, 0)] * 2
        yield sentiment.model.build(**options).fit(TEXTS, labels)
    model = sentiment.model.build().fit(TEXTS, [1, 0, 1, 0] * 2)
    vectorizer, classifier = model["ngrams"], model["classifier"]
    kept = np.flatnonzero(lengths(vectorizer.keys_) != 2)
    vectorizer.keys_ = vectorizer.keys_[kept]
    classifier.weights_, classifier.squares_ = classifier.weights_[kept], classifier.squares_[kept]
    yield model  # with n-grams of one token and of three, and none of two
    yield sentiment.store.load(REPO / "tests/recordings/models/tokens-1")


def check(numpy: NumpyScores, kernel: CompiledScores, tokenizer, texts) -> None:
    prepared = [tokenizer.prepare(text) for text in texts]
    for expected, found in zip(numpy.of(prepared), kernel.of(prepared), strict=True):
        assert expected.shape == found.shape
        np.testing.assert_array_equal(expected, found)
    for text in texts:
        tokens = tokenizer.tokenize(text)
        assert numpy.unknown(tokens) == kernel.unknown(tokens)


@pytest.fixture(scope="module", params=range(6))
def pair(compiled, request):
    found = parameters([*models()][request.param])
    return NumpyScores(found), CompiledScores(compiled, found), found.tokenizer()


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(st.lists(WORDS, max_size=30).map(" ".join), max_size=4))
def test_scores_of_known_words_are_those_of_numpy(pair, texts):
    check(*pair, texts)


@settings(deadline=None, max_examples=50)
@given(text=st.text(st.characters(exclude_categories=[]), max_size=200))
def test_any_unicode_is_tokenized_as_by_the_interpreter(pair, text):
    check(*pair, [text])


def test_every_character_is_of_the_class_that_the_interpreter_gives_it(compiled):
    found = parameters(sentiment.model.build().fit(TEXTS, [1, 0, 1, 0] * 2))
    texts = ["a".join(map(chr, range(start, start + 256))) for start in range(0, 0x110000, 256)]
    check(NumpyScores(found), CompiledScores(compiled, found), found.tokenizer(), texts)


def test_counts_beyond_a_byte_are_those_of_numpy(pair):
    check(*pair, ["good " * repeats + "bad film" for repeats in (254, 255, 256, 5_000)])


def test_reviews(compiled, trained):
    found = parameters(sentiment.store.load(trained.model))
    texts = reviews.read(trained.test)["text"].tolist()
    check(NumpyScores(found), CompiledScores(compiled, found), found.tokenizer(), texts)


def test_a_scorer_without_the_kernel_uses_numpy(monkeypatch: pytest.MonkeyPatch, trained):
    found = parameters(sentiment.store.load(trained.model))
    expected = Scorer(found).score(TEXTS)
    monkeypatch.setattr(library, "load", lambda: None)
    scored = Scorer(found).score(TEXTS)
    np.testing.assert_array_equal(scored.log_odds, expected.log_odds)
    assert scored.unseen == expected.unseen


def test_a_library_of_another_source_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    command = build.compiler()
    assert command is not None
    path = tmp_path / "kernel.so"
    with monkeypatch.context() as patch:
        patch.setattr(build, "source_digest", lambda: "another")
        build.build(command, path)
    with caplog.at_level(logging.WARNING, "sentiment"):
        assert library.load(path) is None
    assert f"{path} is of other sources: python -m sentiment.kernel.build" in caplog.text


def test_a_file_that_is_no_library_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "kernel.so"
    path.write_bytes(b"no library")
    with caplog.at_level(logging.WARNING, "sentiment"):
        assert library.load(path) is None
    assert str(path) in caplog.text


def test_a_failed_build_leaves_the_library_as_it_was(tmp_path: Path):
    path = tmp_path / "kernel.so"
    path.write_bytes(b"before")
    with pytest.raises(subprocess.CalledProcessError):
        build.build(["false"], path)
    assert [each.name for each in tmp_path.iterdir()] == ["kernel.so"]
    assert path.read_bytes() == b"before"
