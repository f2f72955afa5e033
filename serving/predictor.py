"""The model as KServe sees it: requests checked, reviews scored off the event loop."""

import asyncio
import uuid
from typing import Any

import orjson
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput

from sentiment.model import LABELS
from serving import explanations, metrics, source

VERSION_HEADER = "x-model-version"
_WARM_UP = ["A wonderful film, well acted.", "Dull from start to end.", ""]


class SentimentPredictor(Model):
    """Answers v1 and v2 requests with label and probability of *positive*.

    ``model_uri`` and ``version`` are those of :func:`serving.source.load`.
    """

    def __init__(self, name: str, model_uri: str, version: str | None = None) -> None:
        super().__init__(name, return_response_headers=True)
        self._uri = model_uri
        self._version = version
        self._loaded: source.LoadedModel

    def load(self) -> bool:
        """Load and warm the model; ready only then, so that no caller pays for the first time."""
        self._loaded = source.load(self._uri, self._version)
        self._loaded.scorer.score(_WARM_UP)
        self.ready = True
        return self.ready

    def get_input_types(self) -> list[dict[str, Any]]:
        return [{"name": "text", "datatype": "BYTES", "shape": [-1]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        return [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probability", "datatype": "FP64", "shape": [-1]},
        ]

    async def preprocess(
        self, payload: Any, headers: dict[str, str] | None = None
    ) -> dict[str, Any] | InferRequest:
        """Return the decoded body; KServe leaves one that is not marked as plain JSON in bytes."""
        if isinstance(payload, bytes):
            try:
                payload = orjson.loads(payload)
            except orjson.JSONDecodeError as error:
                raise InvalidInput(f"the body is not JSON: {error}") from error
        if not isinstance(payload, dict | InferRequest):
            raise InvalidInput(f"the body is a JSON {_kind(payload)}, not an object")
        return payload

    async def predict(
        self,
        payload: dict[str, Any] | InferRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Answer in the protocol of the request, predictions in the order of the reviews.

        Raises:
            InvalidInput: the request is not of the form that the protocol asks for; 400.
        """
        loaded = self._loaded  # one version for the whole request
        texts = _v2_texts(payload) if isinstance(payload, InferRequest) else _v1_texts(payload)
        scored = await asyncio.to_thread(loaded.scorer.score, texts)
        probabilities = scored.probabilities.tolist()
        labels = [LABELS[probability > 0.5] for probability in probabilities]
        metrics.count_predictions(labels)
        if response_headers is not None:
            response_headers[VERSION_HEADER] = loaded.version
        if not isinstance(payload, InferRequest):
            return {
                "predictions": [
                    {"label": label, "probability": probability}
                    for label, probability in zip(labels, probabilities, strict=True)
                ]
            }
        outputs = [
            InferOutput("label", [len(labels)], "BYTES", labels),
            InferOutput("probability", [len(labels)], "FP64", probabilities),
        ]
        request_id = payload.id or str(uuid.uuid4())  # optional in, required out
        return InferResponse(request_id, self.name, outputs, model_version=loaded.version)

    async def explain(
        self, payload: dict[str, Any], headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Answer with the n-grams that the probability of each review is made of.

        Raises:
            InvalidInput: the request is not of the form that the protocol asks for; 400.
        """
        loaded = self._loaded
        texts, asked = _v1_texts(payload), explanations.options(payload)
        explained = await asyncio.to_thread(explanations.explain, loaded.explainer, texts, asked)
        if headers is not None:
            explanations.keep_event(headers)
            headers[VERSION_HEADER] = loaded.version
        return {"explanations": explained}


def _v1_texts(payload: dict[str, Any]) -> list[str]:
    instances = payload.get("instances")
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('"instances" must be a list of one review or more')
    texts = []
    for i, instance in enumerate(instances):
        text = instance.get("text") if isinstance(instance, dict) else instance
        if not isinstance(text, str):
            raise InvalidInput(f'instances[{i}] must be a string or {{"text": string}}')
        texts.append(text)
    return texts


def _v2_texts(request: InferRequest) -> list[str]:
    if len(request.inputs) != 1:
        raise InvalidInput(f'one input, "text", is expected, not {len(request.inputs)}')
    tensor: InferInput = request.inputs[0]
    if tensor.name != "text" or tensor.datatype != "BYTES":
        raise InvalidInput(f'input "text" of BYTES is expected, not {tensor.name!r}')
    try:
        values = [v.decode() if isinstance(v, bytes) else v for v in tensor.data or []]
    except UnicodeDecodeError as error:
        raise InvalidInput(f'input "text" is not UTF-8: {error}') from error
    if not values or list(tensor.shape) != [len(values)]:
        raise InvalidInput(f'input "text" has shape {tensor.shape} and {len(values)} values')
    if not all(isinstance(value, str) for value in values):
        raise InvalidInput('input "text" must hold strings')
    return values


def _kind(value: Any) -> str:
    kinds = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")
