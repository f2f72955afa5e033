"""Models that earlier commits wrote give the answers that were recorded with them.

``tests/recordings/models/tokens-1``: written at commit ad03703, before models had a version of
their tokens, by ``sentiment.model.build`` fitted to a dozen sentences in six languages.
"""

import json
import zipfile

import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline

import sentiment.model
import sentiment.store
from sentiment import drift
from sentiment.explanation import Explainer
from sentiment.model import parameters
from sentiment.scorer import Scorer
from tests.conftest import REPO

DIRECTORY = REPO / "tests/recordings/models/tokens-1"
ANSWERS = json.loads((DIRECTORY / "answers.json").read_text())
TEXTS = ANSWERS["texts"]


@pytest.fixture(scope="module")
def model():
    return sentiment.store.load(DIRECTORY)


def positive(model: Pipeline) -> list[float]:
    """Return the probabilities of *positive*."""
    found: list[float] = sentiment.model.probabilities(model, TEXTS)[:, 1].tolist()
    return found


def test_probabilities_are_the_same(model):
    scored = Scorer(parameters(model)).score(TEXTS)
    assert scored.probabilities[:, 1].tolist() == ANSWERS["probabilities"]
    assert positive(model) == ANSWERS["probabilities"]
    assert sentiment.model.class_names(model) == ("negative", "positive")
    assert scored.tokens.tolist() == ANSWERS["tokens"]
    assert scored.unknown.tolist() == ANSWERS["unknown"]


def test_explanations_are_the_same(model):
    explainer = Explainer(parameters(model))
    for text, expected in zip(TEXTS, ANSWERS["explanations"], strict=True):
        explanation = explainer.explain(text, 5)
        ngrams = [each._replace(spans=each.spans.tolist()) for each in explanation.ngrams]
        found = explanation._asdict() | {"ngrams": [each._asdict() for each in ngrams]}
        found["tokens"] = explanation.tokens
        del found["spans"], found["shares"]
        found["probability"] = found.pop("probabilities")[1]
        assert found.pop("label") == 1
        del found["words"]  # younger than the recording
        assert json.loads(json.dumps(found)) == expected


def test_unseen_texts_are_found(model):
    """It has no limit of its own."""
    texts = [*TEXTS, "Todella hieno elokuva ja mainiot"]
    explained = [Explainer(parameters(model)).explain(text, 0).words for text in texts]
    unseen = Scorer(parameters(model)).score(texts).unseen
    assert unseen == [position for position, words in enumerate(explained) if words.unseen]
    assert len(TEXTS) in unseen
    assert len(unseen) < len(TEXTS) / 2
    for words, tokens, unknown in zip(
        explained[:-1], ANSWERS["tokens"], ANSWERS["unknown"], strict=True
    ):
        assert 0 <= words.known <= words.total <= tokens
        assert words.total - words.known <= unknown


def test_drift_is_the_same(model):
    statistics = drift.describe(model, TEXTS, sentiment.model.probabilities(model, TEXTS))
    assert {name: each.tolist() for name, each in statistics.items()} == ANSWERS["drift"]
    assert drift.reference(statistics) == ANSWERS["reference"]


def test_a_model_of_today_gives_other_answers(model):
    """The recorded texts tell the versions apart."""
    today = sentiment.store.load(DIRECTORY)
    today["ngrams"].tokens = 2
    assert positive(today) != ANSWERS["probabilities"]


def test_the_version_is_kept(model, tmp_path):
    assert "tokens=1" in repr(model["ngrams"])
    assert clone(model)["ngrams"].get_params()["tokens"] == 1
    sentiment.store.save(model, tmp_path)
    again = sentiment.store.load(tmp_path)
    assert again["ngrams"].tokens == 1
    assert positive(again) == ANSWERS["probabilities"]


def test_tokens_of_a_later_release_are_refused(tmp_path):
    sentiment.store.save(sentiment.model.build().set_params(ngrams__tokens=99), tmp_path)
    path = tmp_path / sentiment.store.MODEL_FILE
    with zipfile.ZipFile(path) as file:
        assert '"99"' in file.read("schema.json").decode()
    with pytest.raises(ValueError, match=r"model\.skops: a newer release made it.* version 99"):
        sentiment.store.load(tmp_path)


def test_an_earlier_release_finds_no_vocabulary_in_a_model_of_today(tmp_path):
    """It reads ``tokens_``, and would take the text apart in its own way."""
    built = sentiment.model.build(max_n=1).fit(["a fine film", "a dull film"] * 2, [1, 0] * 2)
    sentiment.store.save(built, tmp_path)
    with zipfile.ZipFile(tmp_path / sentiment.store.MODEL_FILE) as file:
        schema = file.read("schema.json").decode()
    assert '"vocabulary_"' in schema
    assert '"tokens_"' not in schema
    loaded = sentiment.store.load(tmp_path)
    assert loaded["ngrams"].index() == built["ngrams"].index()
