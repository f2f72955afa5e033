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
from tests.conftest import REPO
from tests.serving import TEXTS, Samples, serving


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


def test_unregistered_model_has_no_drift_or_age(server):
    samples = server.samples()
    assert not [key for key in samples if key[0] == "model_drift_psi"]
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


def test_metrics_of_all_alerts_exist(scrapes):
    """Also those of errors, although none has occurred."""
    rules = (REPO / "manifests/monitoring/config/rules.yml").read_text()
    names = set(re.findall(r'(\w+)\{component="predictor"', rules))
    absent = names - {key[0] for key in scrapes[1]}
    assert absent == {"up"}  # a metric of Prometheus itself
