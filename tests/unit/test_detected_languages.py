"""The languages of the training reviews: found by content, in an order that does not matter."""

import random

import pytest

from components.report import languages
from components.report.languages import Share, shares
from tests.languages import LANGUAGES, reviews

CODES = {"German": "de", "Chinese": "zh", "Thai": "th", "Hindi": "hi"}


@pytest.mark.parametrize("name", LANGUAGES)
def test_reviews_in_any_script_are_recognised(name):
    found = shares(reviews(name, 300)[0])
    assert found[0].language == CODES[name] == languages.main(found)
    assert found[0].share > 0.97


def test_real_reviews_are_english(imdb):
    assert shares(imdb["text"].iloc[:500]) == [Share("en", 1.0)]


@pytest.mark.parametrize("text", ["", "12345", "...", "👍👍", "<br />", "ok", "asdf qwer"])
def test_what_is_no_language_is_undetermined(text):
    assert languages.detect(text) == languages.UNDETERMINED


def test_a_mixture_is_told_whatever_the_order():
    texts = reviews("German", 600)[0] + reviews("Thai", 300)[0] + ["12345"] * 100
    found = shares(texts)
    assert {each.language: round(each.share, 2) for each in found} == {
        "de": 0.6, "th": 0.3, "und": 0.1
    }  # fmt: skip
    assert languages.describe(found) == "German (60%), Thai (30%), undetermined (10%)"
    random.Random(1).shuffle(texts)
    assert shares(iter(texts)) == found


def test_the_sample_is_bounded_and_does_not_depend_on_the_order(imdb):
    texts = [f"{text[:80]} {number}" for number in range(2) for text in imdb["text"].iloc[:4000]]
    texts += reviews("German", 1500)[0]
    found = shares(texts)
    assert shares(reversed(texts)) == found
    assert abs(found[0].share - 8000 / 9500) < 0.03
    assert abs(sum(each.share for each in found) - 1) < 1e-9


def test_no_language_of_less_than_a_hundredth_is_named():
    texts = reviews("German", 300)[0] + ["ภาษาไทยง่ายนิดเดียว"]
    assert {each.language for each in shares(texts)} == {"de", "und"}
    assert shares([]) == []


def test_each_language_that_is_found_has_a_name():
    codes = {*languages._detector().labels} - {languages._NO_LANGUAGE}
    assert codes | {languages.UNDETERMINED} == set(languages.NAMES)
    assert len(set(languages.NAMES.values())) == len(languages.NAMES)
