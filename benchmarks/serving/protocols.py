"""Define the requests of each server, and where its answers have the probabilities."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class Protocol:
    """A kind of request; ``batches`` is whether it can hold several reviews."""

    path: str
    body: Callable[[list[str]], str]
    probabilities: Callable[[str], list[float]]
    content_type: str = "application/json"
    batches: bool = True


def _json(
    path: str, wrap: Callable[[list[str]], Any], unwrap: Callable[[Any], list[float]]
) -> Protocol:
    return Protocol(
        path, lambda texts: json.dumps(wrap(texts)), lambda answer: unwrap(json.loads(answer))
    )


def _tensor(texts: list[str]) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}]}


_V1 = "/v1/models/sentiment:predict"
OURS = _json(
    _V1,
    lambda texts: {"instances": texts},
    lambda answer: [row["probability"] for row in answer["predictions"]],
)
KSERVE = _json(_V1, lambda texts: {"instances": texts}, lambda answer: answer["predictions"])
MLSERVER = _json("/v2/models/sentiment/infer", _tensor, lambda answer: answer["outputs"][0]["data"])
BENTOML = _json("/predict", lambda texts: {"texts": texts}, lambda answer: answer)
TEXTS = _json("/predict", lambda texts: {"texts": texts}, lambda answer: answer["probabilities"])
MLFLOW = _json(
    "/invocations",
    lambda texts: {"inputs": texts},
    lambda answer: [row[1] for row in answer["predictions"]],
)
FORM = Protocol(
    "/predict",
    lambda texts: urlencode({"text": texts[0]}),
    lambda answer: [float(number) for number in re.findall("<output>(.*)</output>", answer)],
    "application/x-www-form-urlencoded",
    batches=False,
)
