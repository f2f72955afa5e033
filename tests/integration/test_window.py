"""The metrics of the model, compared with figures computed from its texts."""

import json
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml

import sentiment.store
from components.io import reviews
from components.io.files import read_json
from sentiment import drift
from sentiment.model import probabilities
from serving.model import loading
from serving.model.loading import RefusedError
from tests.conftest import REPO
from tests.serving import INFER, JSON, TEXTS, Samples, serving

NAN = float("nan")
EDGES = (5, None, [0.2, 0.1], [0.1, 0.1], ["a", "b"], [NAN, 1.0], [10**400, 1], [True, 2])
COUNTS = (5, None, [1, 2], [1, 2, 3, 4], [1, -2, 3], [1, 2.5, 3], [1, NAN, 3], [1, 2, 10**30])
SIGNATURE = {key: json.dumps(value) for key, value in loading.signature_of(2).items()}
SIGNED = yaml.safe_dump({"signature": SIGNATURE})
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
    packaging = {"signature": SIGNATURE, "utc_time_created": "2026-01-02 03:04:05.600000"}
    (folder / "MLmodel").write_text(yaml.safe_dump(packaging))
    return folder


def test_limit_is_that_of_the_findings(registered, trained):
    few_words = "Je ne le recommande à personne, il est trop long."
    findings, bare = loading.load(str(registered)), loading.load(str(trained.model))
    for loaded, expected in ((findings, [0]), (bare, [])):
        assert loaded.scorer.score([few_words]).unseen == expected
        assert loaded.explainer.explain(few_words, 0).words.unseen == bool(expected)
        assert loaded.scorer.score([UNSEEN]).unseen == [0]


def histogram(edges: object, counts: object) -> dict[str, object]:
    return {"reference": {"score": {"edges": edges, "counts": counts}}}


@pytest.mark.parametrize(
    ("findings", "reason"),
    [
        *(({"unseen_limit": limit}, "unseen_limit") for limit in (None, [], "x", True, -1, 2, NAN)),
        ([], "not a mapping"),
        *(({"reference": reference}, "reference: not") for reference in ([1, 2], 5, "score")),
        *(({"reference": {"score": value}}, r"reference\.score: not") for value in (5, [1], None)),
        ({"reference": {"mood": {}}}, r"reference\.mood: none of length, score, unknown"),
        ({"reference": {"class": {}}}, r"reference\.class: none of"),
        *((histogram(edges, [1, 2, 3]), r"score\.edges: not") for edges in EDGES),
        (histogram([*range(20)], [1] * 21), r"score\.edges: 20 are too many"),
        *((histogram([0.1, 0.2], counts), r"score\.counts: not one count") for counts in COUNTS),
    ],
)
def test_damaged_findings_are_refused(registered, tmp_path, findings, reason):
    folder = copy_of(registered, tmp_path)
    (folder / "findings.json").write_text(json.dumps(findings))
    with pytest.raises(RefusedError, match=f"^{folder}: .* is refused: findings.json: .*{reason}"):
        loading.load(str(folder))


def test_reference_is_checked_as_it_is_made():
    """For texts that all are alike, and for three classes of which one is absent."""
    p = np.array([[0.2, 0.5, 0.3]] * 20)
    statistics = drift.statistics(p, np.ones(20), np.zeros(20))
    drift.check_reference(drift.reference(statistics, 3), 3)


LAUGHS = "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\nsignature: {}\n"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("MLmodel", LAUGHS, "an alias"),
        ("MLmodel", "[" * 20_000, "too deeply nested"),
        ("MLmodel", "x" * 100_000, "100000 bytes, and 65536 are allowed"),
        ("MLmodel", "- 1", "not a mapping"),
        ("MLmodel", "a: [1,\n", "while parsing"),
        ("MLmodel", "!!python/object/apply:os.system [exit]", "not a mapping"),
        ("MLmodel", "a: 1", "signature: no inputs and outputs"),
        ("MLmodel", "signature: {inputs: '[]', outputs: '[]'}", r"signature: .*not that of texts"),
        ("MLmodel", f"{SIGNED}utc_time_created: yesterday", "utc_time_created: not a time"),
        ("training.json", "{", "Expecting"),
        ("training.json", "[1]", "not a mapping"),
        ("training.json", "[" * 100_000, "too deeply nested"),
        ("training.json", '{"model_digest": 5}', "model_digest is not a string"),
        ("training.json", '{"model_digest": "abc"}', "not the model that was registered"),
        ("findings.json", " " * 2**21 + "{}", "bytes, and 2097152 are allowed"),
        ("findings.json", "[" * 100_000, "too deeply nested"),
    ],
)
def test_damaged_metadata_are_refused(registered, tmp_path, name, text, reason):
    folder = copy_of(registered, tmp_path)
    (folder / name).write_text(text)
    with pytest.raises(RefusedError, match=f"^{folder}: version .* is refused: .*{reason}"):
        loading.load(str(folder))


@pytest.mark.parametrize("name", ["model.skops", "training.json", "findings.json", "MLmodel"])
def test_what_is_no_regular_file_is_refused_at_once(registered, tmp_path, name):
    folder = copy_of(registered, tmp_path)
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(RefusedError, match=f"is refused: {name}: not a regular file"):
        loading.load(str(folder))


def test_a_refusal_names_source_version_and_digest(trained, tmp_path):
    folder = copy_of(trained.model, tmp_path)
    (folder / "model.skops").write_bytes(b"x")
    digest = sentiment.store.digest(folder)
    named = f"^{folder}: version 8, digest {digest} is refused: model.skops: not the model"
    with pytest.raises(RefusedError, match=named):
        loading.load(str(folder), "8")


def copy_of(model: Path, directory: Path) -> Path:
    return Path(shutil.copytree(model, directory / "model"))


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
