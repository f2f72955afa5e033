"""``:explain`` of the real predictor process."""

import json
import re
import shlex
import subprocess

import pytest

import sentiment.store
from components.io import reviews
from sentiment.explanation import Explainer
from sentiment.model import parameters
from tests.conftest import REPO
from tests.serving import EXPLAIN, JSON

TEXTS = ["A wonderful film,<br />well acted. 😀", "DULL, bad, and dull again. İ", "", "zzgrmpf"]


def explain(server, instances, **parameters) -> list[dict]:
    body = json.dumps({"instances": instances, "parameters": parameters}).encode()
    status, answer, headers = server.ask(EXPLAIN, body, JSON)
    assert status == 200, answer
    assert headers["x-model-version"] == "7"
    return answer["explanations"]


def test_contributions_add_up_to_the_log_odds(server, trained):
    texts = [*TEXTS, *reviews.read(trained.test)["text"].iloc[:100]]
    explanations = explain(server, texts)
    predictions = server.predict(texts)
    for explanation, prediction in zip(explanations, predictions, strict=True):
        shown = sum(ngram["contribution"] for ngram in explanation["ngrams"])
        added_up = explanation["bias"] + shown + explanation["other"]
        assert added_up == pytest.approx(explanation["log_odds"], abs=1e-9)
        assert {key: explanation[key] for key in prediction} == prediction
        assert explanation["class"] == "positive"


def test_either_class_can_be_explained(server):
    positive, negative = (
        explain(server, TEXTS, **{"class": name}) for name in ("positive", "negative")
    )
    for one, other in zip(positive, negative, strict=True):
        assert one["probabilities"] == other["probabilities"]
        assert other["class"] == "negative"
        for key in ("log_odds", "bias", "other"):
            assert other[key] == -one[key]
        assert [-n["contribution"] for n in other["ngrams"]] == [
            n["contribution"] for n in one["ngrams"]
        ]


def test_strongest_ngrams_come_first_with_spans(server, trained):
    texts = [*TEXTS, *reviews.read(trained.test)["text"].iloc[:20]]
    explainer = Explainer(parameters(sentiment.store.load(trained.model)))
    for text, explanation in zip(texts, explain(server, texts, top=5), strict=True):
        assert len(explanation["ngrams"]) <= 5
        ngrams = explainer.explain(text, 5).ngrams
        for served, expected in zip(explanation["ngrams"], ngrams, strict=True):
            assert served["ngram"] == expected.text
            assert served["contribution"] == expected.contribution
            assert served["spans"] == expected.spans.tolist()
            assert served["count"] == len(served["spans"])
    dull = next(n for n in explain(server, [TEXTS[1]])[0]["ngrams"] if n["ngram"] == "dull")
    assert [TEXTS[1][start:end] for start, end in dull["spans"]] == ["DULL", "dull"]


def test_top_sets_the_number_of_ngrams(server, trained):
    text = reviews.read(trained.test)["text"].iloc[0]
    assert len(explain(server, [text])[0]["ngrams"]) == 10
    for top in (0, 1, 100):
        assert len(explain(server, [text], top=top)[0]["ngrams"]) == top


def test_tokens_are_optional_and_add_up(server):
    assert "tokens" not in explain(server, TEXTS)[0]
    for text, explanation in zip(TEXTS, explain(server, TEXTS, tokens=True), strict=True):
        shares = sum(share for _, _, share in explanation["tokens"])
        assert explanation["bias"] + shares == pytest.approx(explanation["log_odds"], abs=1e-9)
        words = [text[start:end] for start, end, _ in explanation["tokens"]]
        assert words == re.findall(r"\w+|[^\w\s]", text.replace("<br />", " "))


def test_known_words_are_counted(server):
    greek = "Πολύ βαρετή ταινία, μεγάλη απογοήτευση!"
    texts = [*TEXTS, "Qqqxz, zzgrmpf: xxyyq vvwwz; a film of 1999", greek]
    found = [explanation["words"] for explanation in explain(server, texts)]
    assert found[0] == {"total": 5, "known": 5, "unseen": False}
    assert found[2] == {"total": 0, "known": 0, "unseen": False}
    assert found[4] == {"total": 7, "known": 3, "unseen": False}
    assert found[5] == {"total": 5, "known": 0, "unseen": True}


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ([], "parameters"),
        (None, "parameters"),
        ({"top": -1}, "parameters.top"),
        ({"top": 101}, "parameters.top"),
        ({"top": 2.0}, "parameters.top"),
        ({"top": True}, "parameters.top"),
        ({"top": "3"}, "parameters.top"),
        ({"top": 10**400}, ""),
        ({"tokens": 1}, "parameters.tokens"),
        ({"tokens": None}, "parameters.tokens"),
        ({"topp": 3}, "top, tokens and class"),
        ({"class": "neutral"}, "one of negative, positive"),
        ({"class": ["positive"]}, "parameters.class"),
    ],
)
def test_invalid_parameters_are_refused(server, parameters, word):
    body = json.dumps({"instances": ["good"], "parameters": parameters}).encode()
    status, answer, _ = server.ask(EXPLAIN, body, JSON)
    assert status == 400
    assert word in answer["error"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"instances": [5]}', b'{"instances": "x"}'])
@pytest.mark.parametrize("headers", [JSON, {}])
def test_invalid_body_is_refused(server, body, headers):
    status, answer, _ = server.ask(EXPLAIN, body, headers)
    assert status == 400
    assert answer["error"]


def test_headers_that_make_no_event_are_not_sent_back(server):
    sent = {"set-cookie": "application/cloudevents+json", "ce-a": "b", "ce-id": "1"}
    _, _, headers = server.ask(EXPLAIN, b'{"instances": ["good"]}', JSON | sent)
    assert "set-cookie" not in headers
    assert not [name for name in headers if name.startswith("ce-")]


def test_request_headers_are_not_sent_back(server):
    sent = {"content-type": "text/plain", "authorization": "Bearer secret", "x-mine": "1"}
    _, answer, headers = server.ask(EXPLAIN, b'{"instances": ["good"]}', sent)
    assert answer["explanations"]
    assert headers["content-type"] == "application/json"
    assert not {"authorization", "x-mine", "host"} & {name.lower() for name in headers}


def test_cloud_event_is_answered_by_one(server):
    event = {"ce-id": "1", "ce-source": "test", "ce-type": "review", "ce-specversion": "1.0"}
    status, answer, headers = server.ask(EXPLAIN, b'{"instances": ["good"]}', JSON | event)
    assert status == 200
    assert answer["explanations"]
    assert headers["ce-type"] == "io.kserve.inference.response"
    assert headers["ce-id"] != "1"


def test_explanation_is_not_counted_as_prediction(server):
    before = server.samples()
    explain(server, TEXTS)
    increases = server.increases(before)
    route = "/v1/models/{model_name}:explain"
    assert increases["app_request_count_total", route, "POST", "200"] == 1
    assert increases["app_request_latency_seconds_count", route, "more"] == 1
    assert not any(key[0] == "model_prediction_count_total" for key in increases)


def test_commands_of_the_readme_work(server):
    text = (REPO / "README.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^curl .*$", text, re.MULTILINE)
    assert any(":explain" in command for command in commands)
    for command in commands:
        words = shlex.split(command.replace("http://localhost:8080", server.address))
        result = subprocess.run([*words, "--fail"], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)
