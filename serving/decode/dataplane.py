"""KServe's data plane with our checks of the body in place of its own."""

from collections.abc import Sequence
from typing import Any

import orjson
from cloudevents.sdk.converters.util import has_binary_headers
from kserve import InferRequest, ModelRepository
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER, PredictorProtocol
from kserve.protocol.dataplane import DataPlane
from kserve.utils.utils import is_structured_cloudevent

from serving.decode import feedback, v1, v2
from serving.decode.checks import parse_object
from serving.limits import RequestLimits

JSON = "application/json"


class CheckedDataPlane(DataPlane):
    def __init__(self, model_registry: ModelRepository, limits: RequestLimits) -> None:
        super().__init__(model_registry)
        self._limits = limits

    def decode(
        self,
        body: bytes,
        headers: dict[str, str],
        protocol_version: str = PredictorProtocol.REST_V1.value,
        model_name: str = "",
    ) -> tuple[dict[str, Any] | InferRequest, dict[str, Any]]:
        """Return the request in the form of its protocol, and the attributes of a CloudEvent.

        The content type is ignored. KServe decodes a body of type ``application/json`` exactly and
        passes any other on as bytes, as with ``; charset=utf-8`` behind it, or curl's default
        type (kserve#2524, seen with kserve 0.21.0).
        """
        if protocol_version == PredictorProtocol.REST_V2.value:
            json_length = headers.get(INFERENCE_CONTENT_LENGTH_HEADER)
            return v2.decode_rest(body, json_length, model_name, self._limits), {}
        payload, attributes = parse_object(body), {}
        if has_binary_headers(headers):
            attributes = self.get_binary_cloudevent(body, headers)._get_attributes()
        elif is_structured_cloudevent(payload):
            payload, attributes = payload.pop("data"), payload
        return v1.decode(payload, self._limits), attributes

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
        if event_headers["content-type"] == JSON:  # no event, or one whose attributes are headers
            return response, event_headers
        data = orjson.Fragment(bytes(response))
        return orjson.dumps(orjson.loads(event) | {"data": data}), event_headers

    def decode_feedback(self, body: bytes, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Return the items of feedback in a body; see :func:`serving.decode.feedback.decode`."""
        return feedback.decode(parse_object(body), classes, self._limits)
