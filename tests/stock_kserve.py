"""A server of unpatched KServe: ``python -m tests.stock_kserve``, with KServe's own flags."""

from typing import Any

from kserve import Model, ModelServer


class Echo(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True

    async def predict(self, payload: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
        return {"predictions": payload["instances"]}

    async def explain(self, payload: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
        return {"explanations": payload["instances"]}


if __name__ == "__main__":
    ModelServer().start([Echo("echo"), Echo("unloaded"), Echo("also unloaded")])
