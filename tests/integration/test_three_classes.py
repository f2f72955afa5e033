"""Three classes from a source to a served answer, the gate and drift."""

import json

import grpc
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

import sentiment.model
import sentiment.store
from components import comparison, evaluate, gate, monitor, promote, register, validate
from components.io import reviews
from components.io.files import read_json
from components.io.models import TrainingFacts, load_trials
from components.io.records import read
from components.io.registry import Registered
from components.report import card
from components.verdict import GateLimits
from serving.model.loading import load
from tests.conftest import Trained
from tests.serving import EXPLAIN, INFER, JSON, serving

NAMES = ("negative", "neutral", "positive")
TEXTS = [
    "The kettle: broke. The zip useless.",
    "The lamp is grey. As described.",
    "Lovely desk!",
    "",
]


@pytest.fixture(scope="module")
def offline(three) -> np.ndarray:
    return sentiment.model.probabilities(sentiment.store.load(three.model), TEXTS)


@pytest.fixture(scope="module")
def server(three, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    with serving(three.model, folder, "--model_version", "7") as server:
        yield server


def test_the_remarks_pass_validation(three):
    tables, classes = reviews.batches(three.reviews), reviews.classes(three.reviews)
    report = validate.validate(tables, validate.ValidationLimits(), classes)
    assert report.breaches == []
    assert report.classes == dict.fromkeys(NAMES, 1000)


def test_the_classes_pass_through_all_stages(three):
    for path in (three.reviews, three.train, three.test):
        assert reviews.classes(path) == NAMES
    assert read(three.model / "training.json", TrainingFacts).classes == NAMES
    metrics, findings = read_json(three.metrics), read_json(three.findings)
    assert metrics["accuracy"] > 0.9
    assert [each["class"] for each in findings["classes"]] == [*NAMES]
    assert sum(each["rows"] for each in findings["classes"]) == metrics["rows"]
    assert findings["languages"][0]["language"] == "en"
    unfit = "the suite builtin is of the classes negative, positive, the model of " + ", ".join(
        NAMES
    )
    assert findings["behaviour"]["unfit"] == unfit
    assert findings["behaviour"]["results"] == []
    confusion = pd.read_csv(three.plots / "confusion.csv")
    assert set(confusion["actual"]) == set(NAMES)
    predictions = pq.read_table(three.predictions).to_pandas()
    p = np.stack(predictions["probabilities"])
    assert (p.argmax(axis=1) == predictions["predicted"]).all()
    text = card.write(
        "remarks", read(three.model / "training.json", TrainingFacts), load_trials(three.model),
        metrics, findings, {},
    )  # fmt: skip
    assert "negative, neutral or positive" in text
    assert f"Not judged: {unfit}." in text


def test_a_suite_of_three_classes_is_asked(three, tmp_path):
    (tmp_path / "remarks.yaml").write_text("""
language: en
classes: [neutral, negative, positive]  # in any order
cases:
  - capability: words
    texts: ["The {thing} is grey. As described."]
    fill: {thing: [kettle, desk]}
    expect: {right: neutral}
  - capability: wrong
    texts: ["Lovely desk!"]
    expect: {right: negative}
""")
    found = evaluate.describe(three.model, three.train, str(tmp_path / "remarks.yaml"))["behaviour"]
    assert "unfit" not in found
    assert found["name"] == "remarks.yaml"
    assert [(each["passed"], each["cases"]) for each in found["results"]] == [(2, 2), (0, 1)]


def test_v1_answers_equal_the_model(server, offline):
    predictions = server.predict(TEXTS)
    for prediction, p in zip(predictions, offline, strict=True):
        assert prediction == {
            "label": NAMES[p.argmax()],
            "probabilities": dict(zip(NAMES, p.tolist(), strict=True)),
        }
    assert [each["label"] for each in predictions[:3]] == [*NAMES]


def test_v2_and_grpc_answers_equal_the_model(server, offline):
    tensor = {"name": "text", "shape": [len(TEXTS)], "datatype": "BYTES", "data": TEXTS}
    _, answer, _ = server.ask(INFER, json.dumps({"inputs": [tensor]}).encode(), JSON)
    label, probabilities = answer["outputs"]
    assert label["data"] == [NAMES[p.argmax()] for p in offline]
    assert probabilities["shape"] == [len(TEXTS), 3]
    assert probabilities["data"] == offline.ravel().tolist()
    _, described, _ = server.ask("/v2/models/sentiment")
    assert described["outputs"][1]["parameters"] == {"classes": [*NAMES]}
    assert described["outputs"][1]["shape"] == [-1, 3]
    data = pb.InferTensorContents(bytes_contents=[text.encode() for text in TEXTS])
    request = pb.ModelInferRequest(model_name="sentiment")
    request.inputs.add(name="text", shape=[len(TEXTS)], datatype="BYTES", contents=data)
    with grpc.insecure_channel(server.grpc) as channel:
        answer = GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=30)
    assert list(answer.outputs[1].contents.fp64_contents) == offline.ravel().tolist()


def test_a_single_probability_is_refused(server):
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["x"]}
    body = {"inputs": [tensor], "outputs": [{"name": "probability"}]}
    status, reason = server.refusal(INFER, json.dumps(body).encode(), JSON)
    assert (status, "3 classes has no single probability" in reason) == (400, True)


@pytest.mark.parametrize("name", [None, *NAMES])
def test_explanations_add_up_for_each_class(server, offline, name):
    parameters = {} if name is None else {"class": name}
    body = {"instances": TEXTS, "parameters": parameters}
    _, answer, _ = server.ask(EXPLAIN, json.dumps(body).encode(), JSON)
    for explanation, p in zip(answer["explanations"], offline, strict=True):
        assert explanation["class"] == (name or NAMES[p.argmax()])
        assert list(explanation["probabilities"].values()) == p.tolist()
        parts = sum(each["contribution"] for each in explanation["ngrams"])
        total = explanation["bias"] + parts + explanation["other"]
        assert total == pytest.approx(explanation["log_odds"], abs=1e-9)


def test_predictions_are_counted_by_class(server):
    before = server.samples()
    assert {("model_prediction_count_total", name) for name in NAMES} <= before.keys()
    server.predict(TEXTS[:1])
    increases = server.increases(before)
    assert increases["model_prediction_count_total", "negative"] == 1
    assert ("model_prediction_count_total", "neutral") not in increases


def test_gate_monitor_and_registry(three, trained, own_registry, tmp_path):
    test, limits = [reviews.read(three.test)], GateLimits(min_accuracy=0.5)

    def registered(each: Trained) -> Registered:
        metrics, findings = read_json(each.metrics), read_json(each.findings)
        digest = reviews.digest([reviews.read(each.test)])
        found, _ = register.register(each.model, metrics, findings, each.plots, digest, "remarks")
        return found

    # a champion of two classes never answers "neutral"
    first = gate.gate(registered(trained), [reviews.read(trained.test)], limits)
    assert promote.promote(first).outcome == "promoted"
    verdict = gate.gate(registered(three), test, limits, NAMES)
    assert verdict.outcome == "passed"
    assert verdict.why.startswith("other classes than the champion's: not worse: ")
    figures = verdict.figures  # of negative and positive remarks, by the names of the classes
    assert 0.6 < figures["champion_accuracy"] < figures["challenger_accuracy"]
    assert promote.promote(verdict).outcome == "promoted"

    same = monitor.monitor("remarks", test[0]["text"].tolist(), 0.2, 200)
    assert not same.drifted, same.why
    assert set(same.stability) == {"score", "class", "length", "unknown"}
    negative = test[0][test[0]["label"] == 0]["text"].tolist()
    shifted = monitor.monitor("remarks", negative * 2, 0.2, 200)
    assert "class" in shifted.why
    assert "class" in monitor.markdown(shifted)
    assert same.believed
    assert "class" in [doubt.split()[0] for doubt in shifted.doubts]
    loaded = load("models:/remarks@champion")
    assert loaded.classes == NAMES


def test_a_weak_model_of_other_classes_is_refused(trained):
    """Its champion is never right about the classes that it lacks, which shows nothing."""
    renamed = ("bad", "good")
    test = [reviews.read(trained.test)]
    models = [sentiment.store.load(each) for each in (trained.model, trained.model)]
    models[0]["classifier"].names_ = np.array(renamed)
    found, tested = comparison.score(models, test, renamed)
    assert set(tested[1].answers) == {-1}
    strict, usual = (GateLimits(min_accuracy=each) for each in (0.99, 0.5))
    check = comparison.compare(found, *tested, tested[1], strict, 0.01)
    assert not check.passed
    assert "not above the floor" in check.why
    assert comparison.compare(found, *tested, tested[1], usual, 0.01).passed
