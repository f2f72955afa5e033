"""Models that earlier commits wrote give the answers that were recorded with them.

``tests/recordings/models/tokens-1``: written at commit ad03703, before models had a version of
their tokens, by ``sentiment.model.build`` fitted to a dozen sentences in six languages.
``tokens-2``: written at commit 4dd2860, before words were marked as negated.
"""

import json
import zipfile
from typing import Any, NamedTuple

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

MODELS = REPO / "tests/recordings/models"


class Recorded(NamedTuple):
    """A model, the version of its tokens, and what it answered when it was new."""

    model: Pipeline
    version: int
    answers: dict[str, Any]

    @property
    def texts(self) -> list[str]:
        return self.answers["texts"]

    def positive(self, model: Pipeline) -> list[float]:
        """Return the probabilities of *positive* by a model."""
        found: list[float] = sentiment.model.probabilities(model, self.texts)[:, 1].tolist()
        return found


@pytest.fixture(scope="module", params=[1, 2])
def recorded(request):
    directory = MODELS / f"tokens-{request.param}"
    answers = json.loads((directory / "answers.json").read_text())
    return Recorded(sentiment.store.load(directory), request.param, answers)


def test_probabilities_are_the_same(recorded):
    model, _, answers = recorded
    scored = Scorer(parameters(model)).score(recorded.texts)
    assert scored.probabilities[:, 1].tolist() == answers["probabilities"]
    assert recorded.positive(model) == answers["probabilities"]
    assert sentiment.model.class_names(model) == ("negative", "positive")
    assert scored.tokens.tolist() == answers["tokens"]
    assert scored.unknown.tolist() == answers["unknown"]


def test_explanations_are_the_same(recorded):
    explainer = Explainer(parameters(recorded.model))
    for text, expected in zip(recorded.texts, recorded.answers["explanations"], strict=True):
        explanation = explainer.explain(text, 5)
        ngrams = [each._replace(spans=each.spans.tolist()) for each in explanation.ngrams]
        found = explanation._asdict() | {"ngrams": [each._asdict() for each in ngrams]}
        found["tokens"] = explanation.tokens
        del found["spans"], found["shares"]
        found["probability"] = found.pop("probabilities")[1]
        assert found.pop("label") == 1
        del found["words"]  # younger than the recording
        assert json.loads(json.dumps(found)) == expected


def test_unseen_texts_are_found(recorded):
    """It has no limit of its own."""
    model, _, answers = recorded
    texts = [*recorded.texts, "Kuvaus onnistui, mainiot näyttelijät"]
    explained = [Explainer(parameters(model)).explain(text, 0).words for text in texts]
    unseen = Scorer(parameters(model)).score(texts).unseen
    assert unseen == [position for position, words in enumerate(explained) if words.unseen]
    assert len(texts) - 1 in unseen
    assert len(unseen) < len(texts) / 2
    for words, tokens, unknown in zip(
        explained[:-1], answers["tokens"], answers["unknown"], strict=True
    ):
        assert 0 <= words.known <= words.total <= tokens
        assert words.total - words.known <= unknown


def test_drift_is_the_same(recorded):
    model, _, answers = recorded
    p = sentiment.model.probabilities(model, recorded.texts)
    statistics = drift.describe(model, recorded.texts, p)
    assert {name: each.tolist() for name, each in statistics.items()} == answers["drift"]
    assert drift.reference(statistics) == answers["reference"]


def test_the_next_version_of_the_tokens_gives_other_answers(recorded):
    """The recorded texts tell the versions apart."""
    next_one = sentiment.store.load(MODELS / f"tokens-{recorded.version}")
    next_one["ngrams"].tokens = recorded.version + 1
    assert recorded.positive(next_one) != recorded.answers["probabilities"]


def test_the_version_is_kept(recorded, tmp_path):
    model, version, answers = recorded
    assert model["ngrams"].tokens == version
    assert clone(model)["ngrams"].get_params()["tokens"] == version
    sentiment.store.save(model, tmp_path)
    again = sentiment.store.load(tmp_path)
    assert again["ngrams"].tokens == version
    assert recorded.positive(again) == answers["probabilities"]


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
