"""The model as KServe sees it: texts scored in turns, answered in the protocol of the request."""

import uuid
from functools import partial
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.errors import ModelNotFound

from sentiment.model import LABELS
from sentiment.scorer import Scorer
from serving import metrics, source
from serving.load import Load
from serving.turns import pieces

VERSION_HEADER = "x-model-version"
_WARM_UP = ["A wonderful film, well acted.", "Dull from start to end.", ""]


class SentimentPredictor(Model):
    """Answers v1 and v2 requests with label and probability of *positive*.

    ``model_uri`` and ``version`` are those of :func:`serving.source.load`. Requests come checked,
    from :class:`serving.plane.CheckedDataPlane` or :class:`serving.rpc.Servicer`.
    """

    def __init__(self, name: str, model_uri: str, version: str | None, load: Load) -> None:
        super().__init__(name, return_response_headers=True)
        self._uri = model_uri
        self._version = version
        self._turns = load.turns
        self._loaded: source.LoadedModel

    @property
    def version(self) -> str:
        return self._loaded.version

    def load(self) -> bool:
        """Load and warm the model; ready only then, so that no caller pays for the first time."""
        self._loaded = source.load(self._uri, self._version)
        self._loaded.scorer.probabilities(_WARM_UP)
        self._loaded.scorer.probabilities(_WARM_UP[:1])
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
        loaded = self._loaded  # one version for the whole request
        if isinstance(payload, InferRequest):
            if payload.model_version not in (None, "", loaded.version):
                raise ModelNotFound(f"{self.name} version {payload.model_version}")
            texts = payload.inputs[0].data
        else:
            texts = payload["instances"]
        probabilities = await self._score(loaded.scorer, texts)
        labels = [LABELS[probability > 0.5] for probability in probabilities]
        metrics.count_predictions(labels)
        if response_headers is not None:
            response_headers[VERSION_HEADER] = loaded.version
        if isinstance(payload, InferRequest):
            return _v2_response(payload, self.name, loaded.version, labels, probabilities)
        return {
            "predictions": [
                {"label": label, "probability": probability}
                for label, probability in zip(labels, probabilities, strict=True)
            ]
        }

    async def _score(self, scorer: Scorer, texts: list[str]) -> list[float]:
        scores: list[float] = []
        for piece in pieces(texts):
            work = partial(scorer.probabilities, piece)
            scores += await self._turns.run(work, sum(map(len, piece)))
        return scores


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
