"""Serve with LitServe, with one worker, which is a process of its own."""

import sys
from typing import Any

import litserve

from benchmarks.serving.servers import pipeline


class Sentiment(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self._probabilities = pipeline.load()

    def decode_request(self, request: dict[str, Any]) -> list[str]:
        return request["texts"]

    def predict(self, texts: list[str]) -> list[float]:
        return self._probabilities(texts)

    def encode_response(self, probabilities: list[float]) -> dict[str, Any]:
        return {"probabilities": probabilities}


if __name__ == "__main__":
    server = litserve.LitServer(Sentiment(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
