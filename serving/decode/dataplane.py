"""KServe's data plane with our checks of the body, of the version and of readiness."""

from collections.abc import Sequence
from typing import Any

import orjson
from kserve import InferRequest, ModelRepository
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER, PredictorProtocol
from kserve.errors import ModelNotFound, ModelNotReady
from kserve.model import BaseKServeModel
from kserve.protocol.dataplane import DataPlane

from serving.decode import cloudevents, feedback, v1, v2
from serving.decode.checks import parse_object
from serving.limits import RequestLimits

JSON = "application/json"


class CheckedDataPlane(DataPlane):
    """The data plane of one model, which is not ready while it is unloaded.

    KServe says that a server is ready without a model, and that a model it has unloaded does not
    exist; it loads a model that is not ready within the request that finds it (kserve 0.21.0).
    """

    def __init__(
        self,
        model_registry: ModelRepository,
        limits: RequestLimits,
        model_name: str,
        extensions: Sequence[str],
    ) -> None:
        super().__init__(model_registry)
        self._limits = limits
        self._model_name = model_name
        self._extensions = list(extensions)

    def metadata(self) -> dict[str, Any]:
        return {**super().metadata(), "extensions": self._extensions}

    async def ready(self) -> bool:
        return await self.model_ready(self._model_name)

    async def model_ready(
        self, model_name: str, disable_predictor_health_check: bool = False
    ) -> bool:
        """Tell whether the model answers requests.

        Raises:
            ModelNotFound: the server does not know the model; 404.
        """
        if model_name != self._model_name:
            raise ModelNotFound(model_name)
        return bool(await self.model_registry.is_model_ready(model_name))

    def get_model_from_registry(self, name: str) -> BaseKServeModel:
        """Return the model.

        Raises:
            ModelNotFound: the server does not know it; 404.
            ModelNotReady: it is unloaded; 503.
        """
        if name != self._model_name:
            raise ModelNotFound(name)
        model = self.model_registry.get_model(name)
        if model is None or not model.ready:
            raise ModelNotReady(name)
        return model

    async def get_model(self, name: str) -> BaseKServeModel:
        return self.get_model_from_registry(name)

    def check_version(self, name: str, version: str | None) -> None:
        """Check that the version, if a request names one, is the one that is served.

        Raises:
            ModelNotFound: it is another one; 404.
        """
        if version:
            model = self.get_model_from_registry(name)
            if version != model.version:
                raise ModelNotFound(f"{name} version {version}")

    def decode(
        self,
        body: bytes,
        headers: dict[str, str],
        protocol_version: str = PredictorProtocol.REST_V1.value,
        model_name: str = "",
    ) -> tuple[dict[str, Any] | InferRequest, dict[str, Any]]:
        """Return the request in the form of its protocol, and the attributes of a CloudEvent.

        The content type is ignored, but for that of a CloudEvent. KServe decodes a body of type
        ``application/json`` exactly and passes any other on as bytes, as with ``; charset=utf-8``
        behind it, or curl's default type (kserve#2524, seen with kserve 0.21.0).
        """
        if protocol_version == PredictorProtocol.REST_V2.value:
            json_length = headers.get(INFERENCE_CONTENT_LENGTH_HEADER)
            return v2.decode_rest(body, json_length, model_name, self._limits), {}
        payload = parse_object(body)
        if cloudevents.is_binary(headers):
            attributes = self.get_binary_cloudevent(body, headers)._get_attributes()
            data = payload
        else:
            data, attributes = cloudevents.unwrap(payload, headers)
        if attributes:  # KServe removes it for CE_MERGE, though it is optional (kserve 0.21.0)
            attributes.setdefault("time", None)
        return v1.decode(data, self._limits), attributes

    def encode(
        self,
        model_name: str,
        response: Any,
        headers: dict[str, str],
        req_attributes: dict[str, Any],
    ) -> tuple[Any, dict[str, str]]:
        """Return the response, as a CloudEvent if the request is one, and its headers.

        An explanation is already written in JSON, and KServe would write a CloudEvent of it in one
        long piece (kserve 0.21.0).
        """
        if not isinstance(response, memoryview):
            encoded: tuple[Any, dict[str, str]] = super().encode(
                model_name, response, headers, req_attributes
            )
            return encoded
        event, event_headers = super().encode(model_name, {}, headers, req_attributes)
        event_headers.setdefault("content-type", JSON)
        # not an event, or one with its attributes in the headers
        if event_headers["content-type"] == JSON:
            return response, event_headers
        data = orjson.Fragment(bytes(response))
        return orjson.dumps(orjson.loads(event) | {"data": data}), event_headers

    def decode_feedback(self, body: bytes, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Return the items of feedback in a body; see :func:`serving.decode.feedback.decode`."""
        return feedback.decode(parse_object(body), classes, self._limits)
