"""The end of the predictor under load."""

import http.client
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc

from tests.serving import PREDICT, call_infer, serving


def test_sigterm_under_load_loses_no_request(trained, tmp_path):
    texts = ["a film that is good ! " * 40] * 20
    body = json.dumps({"instances": texts}).encode()
    answers: Counter[str] = Counter()

    def ask_over_http() -> None:
        while True:
            connection = http.client.HTTPConnection(*server.host, timeout=60)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            with connection.sock:
                connection.request("POST", PREDICT, body)
                response = connection.getresponse()
                predictions = json.load(response)["predictions"]
                answers[f"HTTP {response.status}"] += len(predictions) // 20

    def ask_over_grpc() -> None:
        while (code := call_infer(server, texts)) != grpc.StatusCode.UNAVAILABLE:
            answers[f"gRPC {code.name}"] += 1

    with ThreadPoolExecutor(16) as pool:
        with serving(trained.model, tmp_path) as server:
            clients = [pool.submit(ask_over_http) for _ in range(8)]
            clients += [pool.submit(ask_over_grpc) for _ in range(8)]
            time.sleep(2)
            before = answers.copy()
        for client in clients:
            client.result()
    assert set(answers) == {"HTTP 200", "gRPC OK"}
    assert all(before[kind] > 5 for kind in answers)
