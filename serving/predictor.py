"""The model as KServe sees it: texts scored in turns, answered in the protocol of the request."""

import uuid
from functools import partial
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.errors import ModelNotFound

from sentiment.model import LABELS
from serving import explanations, metrics
from serving.capture.writer import Capture
from serving.in_flight import Load
from serving.model import loading
from serving.model.loading import LoadedModel
from serving.scheduler import pieces

VERSION_HEADER = "x-model-version"
_EXPLAIN_COST = 4  # times that of a prediction


class SentimentPredictor(Model):
    """Answers v1 and v2 requests with label and probability of *positive*.

    ``uri`` and ``version`` are those of :func:`serving.model.loading.load`. Requests come checked,
    from :class:`serving.decode.dataplane.CheckedDataPlane` or :class:`serving.rpc.Servicer`.
    ``served`` is replaced as a whole, so that a request which takes it once is of one version.
    """

    served: LoadedModel

    def __init__(
        self, name: str, uri: str, version: str | None, load: Load, capture: Capture | None = None
    ) -> None:
        super().__init__(name, return_response_headers=True)
        self.uri = uri
        self._version = version
        self._turns = load.turns
        self._capture = capture

    @property
    def version(self) -> str:
        return self.served.version

    def load(self) -> bool:
        """Take in the model that is at ``uri`` now; ready only then.

        Raises:
            SourceError: there is none, or something is wrong with it; what was served stays.
        """
        self.served = loading.load(self.uri, self._version)
        self.ready = True
        return self.ready

    def get_input_types(self) -> list[dict[str, Any]]:
        return [{"name": "text", "datatype": "BYTES", "shape": [-1]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        return [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probability", "datatype": "FP64", "shape": [-1]},
        ]

    async def predict(
        self,
        payload: dict[str, Any] | InferRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Return the predictions in the order of the reviews."""
        served = self.served
        if isinstance(payload, InferRequest):
            if payload.model_version not in (None, "", served.version):
                raise ModelNotFound(f"{self.name} version {payload.model_version}")
            texts = payload.inputs[0].data
        else:
            texts = payload["instances"]
        metrics.holds(len(texts))
        probabilities = await self._score(served, texts)
        labels = [LABELS[probability > 0.5] for probability in probabilities]
        if self._capture is not None:
            self._capture.offer(served.version, texts, labels, probabilities)
        if response_headers is not None:
            response_headers[VERSION_HEADER] = served.version
        if isinstance(payload, InferRequest):
            return _v2_response(payload, self.name, served.version, labels, probabilities)
        return {
            "predictions": [
                {"label": label, "probability": probability}
                for label, probability in zip(labels, probabilities, strict=True)
            ]
        }

    async def explain(
        self, payload: dict[str, Any], headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Answer with the n-grams that the probability of each review is made of.

        Raises:
            InvalidInput: the request is not of the form that the protocol asks for; 400.
        """
        served, asked = self.served, explanations.options(payload)
        metrics.holds(len(payload["instances"]))
        explained = []
        for text in payload["instances"]:
            work = partial(explanations.explain, served.explainer, text, asked)
            explained.append(await self._turns.run(work, _EXPLAIN_COST * len(text)))
        if headers is not None:
            explanations.keep_event(headers)
            headers[VERSION_HEADER] = served.version
        return {"explanations": explained}

    async def _score(self, served: LoadedModel, texts: list[str]) -> list[float]:
        probabilities: list[float] = []
        for piece in pieces(texts):
            scored = await self._turns.run(
                partial(served.scorer.score, piece), sum(map(len, piece))
            )
            found = scored.probabilities.tolist()
            served.observed.add(found, scored)
            probabilities += found
        return probabilities


def _v2_response(
    request: InferRequest, name: str, version: str, labels: list[str], probabilities: list[float]
) -> InferResponse:
    outputs = {
        "label": InferOutput("label", [len(labels)], "BYTES", labels),
        "probability": InferOutput("probability", [len(labels)], "FP64", probabilities),
    }
    wanted = request.request_outputs
    return InferResponse(
        request.id or str(uuid.uuid4()),  # optional in, required out
        name,
        [outputs[each.name] for each in wanted] if wanted else list(outputs.values()),
        model_version=version,
        use_binary_outputs=request.use_binary_outputs,
        requested_outputs=wanted,
    )
