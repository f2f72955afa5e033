"""The metrics of the model, compared with figures computed from its texts."""

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

import sentiment.store
from components.io import reviews
from components.io.files import read_json
from sentiment import drift
from sentiment.model import probabilities
from serving.model import loading
from serving.model.registry import SourceError
from tests.conftest import REPO
from tests.serving import INFER, JSON, TEXTS, Samples, serving

UNSEEN = "Прекрасный фильм с замечательными актёрами."  # noqa: RUF001


def test_scores_and_tokens_are_counted(server, trained):
    model = sentiment.store.load(trained.model)
    texts = [*TEXTS, "zzgrmpf zzgrmpf"]
    expected = drift.describe(model, texts, probabilities(model, texts))
    before = server.samples()
    server.predict(texts)
    after = server.samples()
    increases = {key: value - before.get(key, 0) for key, value in after.items()}
    assert increases[("model_score_sum",)] == pytest.approx(expected["score"].sum())
    assert increases["model_score_bucket", "0.5"] == (expected["score"] <= 0.5).sum()
    assert increases[("model_review_tokens_sum",)] == expected["length"].sum()
    assert increases[("model_review_tokens_count",)] == len(texts)
    unknown = (expected["unknown"] * expected["length"]).sum()
    assert increases[("model_unknown_token_count_total",)] == pytest.approx(unknown)
    assert unknown >= 2


def test_texts_in_unseen_languages_are_counted(server):
    """By v1, by v2 and within a batch; numbers and emoji are of no language."""
    before = server.samples()
    assert before[("model_unseen_text_count_total",)] >= 0
    server.predict([*TEXTS, "1234 5678 9012", "\N{SNOWMAN} \N{COMET} \N{ANCHOR} \N{UMBRELLA}"])
    assert ("model_unseen_text_count_total",) not in server.increases(before)
    prediction, *_ = server.predict([UNSEEN])
    assert set(prediction) == {"label", "probabilities", "probability"}
    assert server.increases(before)[("model_unseen_text_count_total",)] == 1
    server.predict([*TEXTS, UNSEEN] * 30)
    assert server.increases(before)[("model_unseen_text_count_total",)] == 31
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [UNSEEN]}
    assert server.ask(INFER, json.dumps({"inputs": [tensor]}).encode(), JSON)[0] == 200
    assert server.increases(before)[("model_unseen_text_count_total",)] == 32


def test_unregistered_model_has_no_drift_or_age(server):
    samples = server.samples()
    assert not [key for key in samples if key[0] in ("model_drift_psi", "model_expected_accuracy")]
    assert ("model_created_timestamp_seconds",) not in samples


@pytest.fixture(scope="module")
def registered(trained, tmp_path_factory) -> Path:
    """A model in the folder that MLflow makes of it."""
    folder = tmp_path_factory.mktemp("registered") / "model"
    shutil.copytree(trained.model, folder)
    shutil.copy(trained.findings, folder / "findings.json")
    signature = {key: json.dumps(value) for key, value in loading.signature_of(2).items()}
    packaging = {"signature": signature, "utc_time_created": "2026-01-02 03:04:05.600000"}
    (folder / "MLmodel").write_text(yaml.safe_dump(packaging))
    return folder


def test_limit_is_that_of_the_findings(registered, trained):
    few_words = "Je ne le recommande à personne, il est trop long."
    findings, bare = loading.load(str(registered)), loading.load(str(trained.model))
    for loaded, expected in ((findings, [0]), (bare, [])):
        assert loaded.scorer.score([few_words]).unseen == expected
        assert loaded.explainer.explain(few_words, 0).words.unseen == bool(expected)
        assert loaded.scorer.score([UNSEEN]).unseen == [0]


@pytest.mark.parametrize("limit", ["null", "[]", '"x"'])
def test_damaged_limit_is_refused(registered, tmp_path, limit):
    shutil.copytree(registered, tmp_path / "model")
    (tmp_path / "model/findings.json").write_text(f'{{"unseen_limit": {limit}}}')
    with pytest.raises(SourceError, match=f"^{tmp_path}/model: "):
        loading.load(str(tmp_path / "model"))


@pytest.fixture(scope="module")
def texts(trained) -> list[str]:
    return [text[:200] for text in reviews.read(trained.test)["text"].iloc[:210]]


@pytest.fixture(scope="module")
def scrapes(registered, texts, tmp_path_factory) -> tuple[Samples, Samples]:
    """The metrics after 199 texts, and after all 210."""
    directory = tmp_path_factory.mktemp("registered-server")
    with serving(registered, directory, "--model_version", "7") as server:
        server.predict(texts[:199])
        few = server.samples()
        server.predict(texts[199:])
        return few, server.samples()


def test_version_and_registration_time_are_shown(scrapes, registered):
    samples, _ = scrapes
    created = datetime(2026, 1, 2, 3, 4, 5, 600_000, UTC)
    assert samples["model_version_info", sentiment.store.digest(registered), "7"] == 1
    assert samples[("model_created_timestamp_seconds",)] == created.timestamp()


def test_drift_is_measured_from_200_texts_on(scrapes, registered, texts, trained):
    few, samples = scrapes
    assert not [key for key in few if key[0] == "model_drift_psi"]
    reference = read_json(trained.findings)["reference"]
    model = sentiment.store.load(registered)
    described = drift.describe(model, texts, probabilities(model, texts))
    expected = drift.stability(reference, described)
    assert expected["length"] > 1  # as the texts were cut
    for name, value in expected.items():
        assert samples["model_drift_psi", name] == pytest.approx(value)


def test_accuracy_to_expect_is_measured_from_200_texts_on(scrapes, registered, texts):
    few, samples = scrapes
    assert ("model_expected_accuracy",) not in few
    p = probabilities(sentiment.store.load(registered), texts)
    assert samples[("model_expected_accuracy",)] == pytest.approx(p.max(axis=1).mean())


def test_metrics_of_all_alerts_exist(scrapes):
    """Also those of errors, although none has occurred."""
    rules = (REPO / "manifests/monitoring/config/rules.yml").read_text()
    names = set(re.findall(r'(\w+)\{component="predictor"', rules))
    absent = names - {key[0] for key in scrapes[1]}
    assert absent == {"up"}  # a metric of Prometheus itself
