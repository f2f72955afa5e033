"""Explanations of the largest texts, beside small requests, and clients that leave."""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.http.long_requests import LARGE_EXPLANATIONS
from tests.serving import EXPLAIN, JSON, PREDICT, head, read_response

ROUTE = "/v1/models/{model_name}:explain"
REQUESTS = "app_request_count_total"
TEXT = "this film was not very good, but i loved the acting! 電影 😀 "


def body(text: str, count: int = 5, size: int = 100_000, **parameters) -> bytes:
    payload = {
        "instances": [(text * (size // len(text) + 1))[:size]] * count,
        "parameters": parameters,
    }
    return json.dumps(payload, ensure_ascii=False).encode()


LARGEST = body(TEXT, top=100, tokens=True)


def test_explanations_beyond_the_budget_are_refused(server):
    over = threading.Event()
    alive: Counter[int] = Counter()

    def ask_small() -> None:
        while not over.is_set():
            alive.update([server.ask(PREDICT, b'{"instances": ["good"]}', JSON)[0]])
            alive.update([server.ask("/v2/health/live")[0]])

    def ask(_) -> tuple[int, int]:
        status, answer, headers = server.ask(EXPLAIN, LARGEST, JSON)
        if status == 503:
            assert "try again in" in answer["error"]
            return status, int(headers["retry-after"])
        return status, len(answer["explanations"])

    before = server.samples()
    with ThreadPoolExecutor(16) as crowd, ThreadPoolExecutor(1) as other:
        small = other.submit(ask_small)
        try:
            answers = list(crowd.map(ask, range(16)))
        finally:
            over.set()
        small.result()
    assert set(alive) == {200}
    assert alive[200] > 16
    counts = Counter(status for status, _ in answers)
    assert set(counts) == {200, 503}
    assert counts[200] <= 2 * LARGE_EXPLANATIONS
    assert all(value == 5 for status, value in answers if status == 200)
    assert all(1 <= value <= 10 for status, value in answers if status == 503)
    increases = server.increases(before)
    assert increases["app_request_rejected_count_total", "overloaded"] == counts[503]
    server.wait_for_in_flight(0)
    assert server.ask(EXPLAIN, LARGEST, JSON)[0] == 200


def test_a_large_explanation_has_all_tokens(server):
    text = (TEXT * 2_000)[:50_000]
    status, answer, headers = server.ask(EXPLAIN, body(text, 2, len(text), tokens=True), JSON)
    assert status == 200
    assert headers["content-type"] == "application/json"
    for explanation in answer["explanations"]:
        tokens = explanation["tokens"]
        assert len(tokens) > 10_000
        assert [text[start:end] for start, end, _ in tokens[:3]] == ["this", "film", "was"]
        total = explanation["bias"] + sum(share for _, _, share in tokens)
        assert total == pytest.approx(explanation["log_odds"], abs=1e-9)


def test_a_structured_event_is_answered_by_one(server):
    _, plain, _ = server.ask(EXPLAIN, b'{"instances": ["good"]}', JSON)
    event = {"id": "1", "source": "test", "type": "review", "specversion": "1.0"}
    event |= {"time": "2026-01-01T00:00:00Z", "data": {"instances": ["good"]}}
    headers = {"content-type": "application/cloudevents+json"}
    status, answer, headers = server.ask(EXPLAIN, json.dumps(event).encode(), headers)
    assert status == 200
    assert headers["content-type"] == "application/cloudevents+json"
    assert answer["type"] == "io.kserve.inference.response"
    assert answer["data"] == plain


def test_explanations_of_clients_that_left_are_dropped(server):
    before = server.samples()
    for _ in range(4):
        with server.connect() as connection:
            connection.sendall(head(EXPLAIN, len(LARGEST)) + LARGEST)
            server.wait_for_in_flight(1)
        server.wait_for_in_flight(0)
    assert server.increases(before)[REQUESTS, ROUTE, "POST", "499"] == 4


def test_predictions_of_clients_that_left_are_dropped(server):
    batch = body(TEXT, 250, 2_000)
    before = server.samples()
    with server.connect() as other:
        other.sendall(head(EXPLAIN, len(LARGEST)) + LARGEST)
        with server.connect() as connection:
            connection.sendall(head(PREDICT, len(batch)) + batch)
            server.wait_for_in_flight(2)
        server.wait_for_in_flight(1)
        assert read_response(other)[0] == 200
    route = ROUTE.replace("explain", "predict")
    assert server.increases(before)[REQUESTS, route, "POST", "499"] == 1
