"""Serve with a custom model of KServe."""

from typing import Any

from kserve import Model, ModelServer

from benchmarks.serving.servers import pipeline


class Sentiment(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.load()

    def load(self) -> bool:
        self._probabilities = pipeline.load()
        self.ready = True
        return self.ready

    def predict(
        self, payload: dict[str, Any], headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        return {"predictions": self._probabilities(payload["instances"])}


if __name__ == "__main__":
    ModelServer().start([Sentiment("sentiment")])
