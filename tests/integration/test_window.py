"""What the predictor tells of the model, measured again from outside."""

import json
import re
import shutil
from datetime import UTC, datetime

import pytest
import yaml

import sentiment.store
from components.io import reviews
from components.io.files import read_json
from sentiment import drift
from serving.model import loading
from tests.conftest import REPO
from tests.serving import TEXTS, serving


def test_scores_lengths_and_unknown_tokens_are_counted(server, trained):
    model = sentiment.store.load(trained.model)
    texts = [*TEXTS, "zzgrmpf zzgrmpf"]
    found = drift.describe(model, texts)
    before = server.samples()
    server.predict(texts)
    after = server.samples()
    gained = {key: value - before.get(key, 0) for key, value in after.items()}
    assert gained[("model_score_sum",)] == pytest.approx(found["score"].sum())
    assert gained["model_score_bucket", "0.5"] == (found["score"] <= 0.5).sum()
    assert gained[("model_review_tokens_sum",)] == found["length"].sum()
    assert gained[("model_review_tokens_count",)] == len(texts)
    unknown = (found["unknown"] * found["length"]).sum()
    assert gained[("model_unknown_token_count_total",)] == pytest.approx(unknown)
    assert unknown >= 2
    # a model that came without a reference has drifted from nothing
    assert not [key for key in after if key[0] == "model_drift_psi"]
    # and one that never was in a registry has no age
    assert ("model_created_timestamp_seconds",) not in after


def test_drift_is_that_of_the_last_texts_from_the_reference(trained, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(trained.model, folder)
    shutil.copy(trained.findings, folder / "findings.json")
    model, reference = sentiment.store.load(folder), read_json(trained.findings)["reference"]
    texts = [text[:200] for text in reviews.read(trained.test)["text"].iloc[:210]]
    digest = sentiment.store.digest(folder)
    signature = {key: json.dumps(value) for key, value in loading._SIGNATURE.items()}
    packed = {"signature": signature, "utc_time_created": "2026-01-02 03:04:05.600000"}
    (folder / "MLmodel").write_text(yaml.safe_dump(packed))
    with serving(folder, tmp_path / "server", "--model_version", "7") as server:
        server.predict(texts[:199])
        few = server.samples()
        assert few["model_version_info", digest, "7"] == 1
        assert not [key for key in few if key[0] == "model_drift_psi"]
        server.predict(texts[199:])
        samples = server.samples()
    expected = drift.stability(reference, drift.describe(model, texts))
    assert expected["length"] > 1  # they were cut
    for name, value in expected.items():
        assert samples["model_drift_psi", name] == pytest.approx(value)
    registered = datetime(2026, 1, 2, 3, 4, 5, 600_000, UTC)
    assert samples[("model_created_timestamp_seconds",)] == registered.timestamp()
    # all that the alerts go by is there, before anything has happened
    rules = (REPO / "manifests/monitoring/config/rules.yml").read_text()
    names = set(re.findall(r'(\w+)\{job="sentiment"', rules))
    absent = names - {key[0] for key in samples}
    assert absent == {"up"}  # which is Prometheus's own
