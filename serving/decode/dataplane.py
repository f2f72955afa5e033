"""KServe's data plane, reading bodies with our checks in place of its own."""

from typing import Any

from cloudevents.sdk.converters.util import has_binary_headers
from kserve import InferRequest, ModelRepository
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER, PredictorProtocol
from kserve.protocol.dataplane import DataPlane
from kserve.utils.utils import is_structured_cloudevent

from serving.decode import checks, v2
from serving.limits import Limits


class CheckedDataPlane(DataPlane):
    def __init__(self, model_registry: ModelRepository, limits: Limits) -> None:
        super().__init__(model_registry)
        self._limits = limits

    def decode(
        self,
        body: bytes,
        headers: dict[str, str],
        protocol_version: str = PredictorProtocol.REST_V1.value,
        model_name: str = "",
    ) -> tuple[dict[str, Any] | InferRequest, dict[str, Any]]:
        """Return the texts to score, in the form of the protocol, and the attributes of an event.

        A good body is understood whatever its type is called: KServe's own check fails on
        ``application/json; charset=utf-8`` and on the type that curl sends.
        """
        if protocol_version == PredictorProtocol.REST_V2.value:
            json_length = headers.get(INFERENCE_CONTENT_LENGTH_HEADER)
            return v2.rest(body, json_length, model_name, self._limits), {}
        payload, attributes = checks.parse(body), {}
        if has_binary_headers(headers):
            attributes = self.get_binary_cloudevent(body, headers)._get_attributes()
        elif is_structured_cloudevent(payload):
            payload, attributes = payload.pop("data"), payload
        return checks.v1(payload, self._limits), attributes
