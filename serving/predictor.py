"""KServe's predictor: score and explain texts, and answer in the protocol of the request."""

import uuid
from functools import partial
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.errors import ModelNotFound

from sentiment.model import LABELS
from serving import explanations, kserve_patches, metrics
from serving.capture.writer import Capture
from serving.model.loading import LoadedModel, ServedModel
from serving.scheduler import Scheduler, chunks

VERSION_HEADER = "x-model-version"
_EXPLAIN_COST = 4  # times that of a prediction


class SentimentPredictor(Model):
    """Answers v1 and v2 requests with label and probability of *positive*.

    Requests are already checked, by :class:`serving.decode.dataplane.CheckedDataPlane` or
    :class:`serving.rpc.CheckedServicer`.
    """

    def __init__(
        self,
        name: str,
        served: ServedModel,
        scheduler: Scheduler,
        capture: Capture | None = None,
    ) -> None:
        super().__init__(name, return_response_headers=True)
        self._served = served
        self._scheduler = scheduler
        self._capture = capture

    @property
    def version(self) -> str:
        return self._served.current.version

    def load(self) -> bool:
        """Load the model that is at the source now, and become ready.

        Raises:
            SourceError: there is no valid model at the source; the current model stays.
        """
        self._served.load()
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
        """Return the predictions in the order of the reviews.

        Raises:
            ModelNotFound: a v2 request names another version than the one that is served; 404.
        """
        model = self._served.current
        if isinstance(payload, InferRequest):
            if payload.model_version not in (None, "", model.version):
                raise ModelNotFound(f"{self.name} version {payload.model_version}")
            texts = payload.inputs[0].data
        else:
            texts = payload["instances"]
        metrics.set_reviews(len(texts))
        probabilities = await self._score(model, texts)
        labels = [LABELS[probability > 0.5] for probability in probabilities]
        if self._capture is not None:
            self._capture.offer(model.version, texts, labels, probabilities)
        if response_headers is not None:
            response_headers[VERSION_HEADER] = model.version
        if isinstance(payload, InferRequest):
            return _v2_response(payload, self.name, model.version, labels, probabilities)
        return {
            "predictions": [
                {"label": label, "probability": probability}
                for label, probability in zip(labels, probabilities, strict=True)
            ]
        }

    async def explain(
        self, payload: dict[str, Any], headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the contributions of n-grams to the probability of each review.

        Raises:
            InvalidInput: the parameters are not as documented; 400.
        """
        model, options = self._served.current, explanations.read_options(payload)
        metrics.set_reviews(len(payload["instances"]))
        explained = []
        for text in payload["instances"]:
            work = partial(explanations.explain, model.explainer, text, options)
            explained.append(await self._scheduler.run(work, _EXPLAIN_COST * len(text)))
        if headers is not None:
            kserve_patches.keep_event_headers(headers)
            headers[VERSION_HEADER] = model.version
        return {"explanations": explained}

    async def _score(self, model: LoadedModel, texts: list[str]) -> list[float]:
        probabilities: list[float] = []
        for chunk in chunks(texts):
            work = partial(model.scorer.score, chunk)
            scored = await self._scheduler.run(work, sum(map(len, chunk)))
            scores = scored.probabilities.tolist()
            model.window.add(scores, scored)
            probabilities += scores
        return probabilities


def _v2_response(
    request: InferRequest, name: str, version: str, labels: list[str], probabilities: list[float]
) -> InferResponse:
    outputs = {
        "label": InferOutput("label", [len(labels)], "BYTES", labels),
        "probability": InferOutput("probability", [len(labels)], "FP64", probabilities),
    }
    requested = request.request_outputs
    return InferResponse(
        request.id or str(uuid.uuid4()),  # optional in a request, required in a response
        name,
        [outputs[output.name] for output in requested] if requested else list(outputs.values()),
        model_version=version,
        use_binary_outputs=request.use_binary_outputs,
        requested_outputs=requested,
    )
