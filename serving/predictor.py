"""KServe's predictor: score and explain texts, and answer in the protocol of the request."""

import time
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InvalidInput, ModelNotFound
from kserve.metrics import EXPLAIN_HIST_TIME, PREDICT_HIST_TIME
from kserve.model import InferenceVerb

from sentiment.scorer import Scored
from serving import explanations, kserve_patches, metrics, request_id, trace_context, work
from serving.capture.writer import Capture
from serving.errors import FeedbackOffError, OverloadError
from serving.model.loading import LoadedModel, ServedModel
from serving.scheduler import Scheduler, chunks

VERSION_HEADER = "x-model-version"
_FEEDBACK_RETRY = 5  # seconds after which the writer has usually emptied a full queue


class SentimentPredictor(Model):
    """Answers v1 and v2 requests with the label and the probabilities of the classes.

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
        self._seconds = {
            InferenceVerb.PREDICT: PREDICT_HIST_TIME.labels(name),
            InferenceVerb.EXPLAIN: EXPLAIN_HIST_TIME.labels(name),
        }

    async def __call__(
        self,
        body: dict[str, Any] | InferRequest,
        headers: dict[str, str] | None = None,
        verb: InferenceVerb = InferenceVerb.PREDICT,
    ) -> tuple[Any, dict[str, str]]:
        """Return the answer and the headers of the response.

        KServe's method takes a tenth of the time of a request for steps that this predictor does
        not have, and for their histograms (kserve 0.21.0). Those of the others are kept.
        """
        response_headers: dict[str, str] = {}
        began = time.perf_counter()
        try:
            if verb is InferenceVerb.EXPLAIN:
                return await self.explain(body, headers), response_headers
            return await self.predict(body, headers, response_headers), response_headers
        finally:
            self._seconds[verb].observe(time.perf_counter() - began)

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
        classes = len(self._served.current.classes)
        label: dict[str, Any] = {"name": "label", "datatype": "BYTES", "shape": [-1]}
        single = {"name": "probability", "datatype": "FP64", "shape": [-1]}
        each = {"name": "probabilities", "datatype": "FP64", "shape": [-1, classes]}
        return [label, single, each] if classes == 2 else [label, each]

    @property
    def classes(self) -> tuple[str, ...]:
        return self._served.current.classes

    async def predict(
        self,
        payload: dict[str, Any] | InferRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Return the predictions in the order of the reviews.

        Raises:
            ModelNotFound: a v2 request names another version than the one that is served; 404.
            InvalidInput: a v2 request names an output that the model does not have; 400.
        """
        model = self._served.current
        name = (headers or {}).get(request_id.HEADER)
        if isinstance(payload, InferRequest):
            name = request_id.choose(name, payload.id)
            if payload.model_version not in (None, "", model.version):
                raise ModelNotFound(f"{self.name} version {payload.model_version}")
            texts = payload.inputs[0].data
            _check_outputs(payload, model.classes)
        else:
            name = request_id.choose(name)
            texts = payload["instances"]
        metrics.set_reviews(len(texts), model.version)
        labels, probabilities = await self._score(model, texts)
        predictions = [
            explanations.prediction(model.classes, label, p)
            for label, p in zip(labels, probabilities, strict=True)
        ]
        if self._capture is not None:
            trace = trace_context.parse((headers or {}).get(trace_context.HEADER))
            self._capture.offer(
                model.version, name, texts, predictions, trace.header if trace else None
            )
        if response_headers is not None:
            response_headers[VERSION_HEADER] = model.version
            response_headers[request_id.HEADER] = name
        if isinstance(payload, InferRequest):
            payload.id = payload.id or name  # optional in a request, required in a response
            named = [model.classes[label] for label in labels]
            return _v2_response(payload, self.name, model.version, named, probabilities)
        return {"predictions": predictions}

    async def explain(
        self, payload: dict[str, Any], headers: dict[str, str] | None = None
    ) -> memoryview:
        """Return the contributions of n-grams to the probability of a class, for each review.

        The response is written in JSON, as it may be too large to be written in one piece.

        Raises:
            OverloadError: too much work is queued; 503.
            InvalidInput: the parameters are not as documented; 400.
        """
        model = self._served.current
        options = explanations.read_options(payload, model.classes)
        texts = payload["instances"]
        metrics.set_reviews(len(texts), model.version)
        steps = explanations.steps(model.explainer, model.classes, texts, options)
        units = work.of_explanation(texts, options.tokens)
        with self._scheduler.budget.charge(units, _are_large(texts), explain=True) as charge:
            response = await self._scheduler.run_steps(steps, charge)
        if headers is not None:
            name = request_id.choose(headers.get(request_id.HEADER))
            kserve_patches.keep_event_headers(headers)
            headers[VERSION_HEADER] = model.version
            headers[request_id.HEADER] = name
        return response

    @property
    def takes_feedback(self) -> bool:
        return self._capture is not None

    def require_capture(self) -> Capture:
        """Return the writer of predictions and feedback.

        Raises:
            FeedbackOffError: there is none; 404.
        """
        if self._capture is None:
            raise FeedbackOffError(
                "feedback is off: start the server with --capture, a folder or"
                " s3://bucket/prefix/, to have it written there"
            )
        return self._capture

    def accept_feedback(self, items: Sequence[dict[str, Any]]) -> None:
        """Have the items of feedback written beside the captured predictions.

        Raises:
            FeedbackOffError: the server does not capture; 404.
            OverloadError: the queue of the writer is full; 503.
        """
        if not self.require_capture().accept_feedback(items):
            raise OverloadError(
                f"feedback waits to be written; try again in {_FEEDBACK_RETRY} s", _FEEDBACK_RETRY
            )

    async def _score(
        self, model: LoadedModel, texts: list[str]
    ) -> tuple[list[int], list[list[float]]]:
        """Return the number of the likeliest class, and the probabilities of all, of each text.

        Raises:
            OverloadError: the texts are large, and too much work is queued; 503.
        """
        if not _are_large(texts):
            return await self._score_chunks(model, texts)
        with self._scheduler.budget.charge(work.of_prediction(texts), large=True):
            return await self._score_chunks(model, texts)

    async def _score_chunks(
        self, model: LoadedModel, texts: list[str]
    ) -> tuple[list[int], list[list[float]]]:
        labels: list[int] = []
        probabilities: list[list[float]] = []
        for chunk in chunks(texts):
            score = partial(model.scorer.score, chunk)
            scored: Scored = await self._scheduler.run(score, sum(map(len, chunk)))
            p = scored.probabilities
            most = p.argmax(axis=1).tolist()
            model.window.add(p, most, scored)
            labels += most
            probabilities += p.tolist()
        return labels, probabilities


def _are_large(texts: Sequence[str]) -> bool:
    return sum(map(len, texts)) > work.SMALL


def _check_outputs(request: InferRequest, classes: tuple[str, ...]) -> None:
    names = [output.name for output in request.request_outputs or ()]
    if len(classes) > 2 and "probability" in names:
        raise InvalidInput(
            f"the outputs are label and probabilities: a model of {len(classes)} classes has no"
            " single probability"
        )


def _v2_response(
    request: InferRequest,
    name: str,
    version: str,
    labels: list[str],
    probabilities: list[list[float]],
) -> InferResponse:
    rows, classes = len(labels), len(probabilities[0])
    values = list(chain.from_iterable(probabilities))
    outputs = {"label": InferOutput("label", [rows], "BYTES", labels)}
    if classes == 2:
        outputs["probability"] = InferOutput("probability", [rows], "FP64", values[1::2])
    outputs["probabilities"] = InferOutput("probabilities", [rows, classes], "FP64", values)
    requested = request.request_outputs
    return InferResponse(
        request.id,
        name,
        [outputs[output.name] for output in requested] if requested else list(outputs.values()),
        model_version=version,
        use_binary_outputs=request.use_binary_outputs,
        requested_outputs=requested,
    )
