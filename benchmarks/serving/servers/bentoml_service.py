"""Serve with BentoML."""

import bentoml

from benchmarks.serving.servers import pipeline


@bentoml.service(workers=1)
class Sentiment:
    def __init__(self) -> None:
        self._probabilities = pipeline.load()

    @bentoml.api
    def predict(self, texts: list[str]) -> list[float]:
        return self._probabilities(texts)
