"""Describe the server in OpenAPI 3.1; the bodies are in ``schemas``.

FastAPI cannot: KServe's handlers read the body themselves, and raise errors of their own.
"""

import re
from typing import Any

from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER

from serving import request_id, trace_context
from serving.limits import RequestLimits
from serving.schemas import schemas

_VERSION = "x-model-version"
_STRING = {"type": "string"}
_RAW = {"application/octet-stream": {"schema": {**_STRING, "format": "binary"}}}
_REASONS = {
    400: "The request is not as the protocol has it",
    403: "The server runs without --model_control explicit",
    404: "Unknown model or version, or feedback that is off",
    408: "The body did not arrive in time",
    413: "The body, a text or the number of texts is beyond a limit",
    415: "The body is compressed",
    503: "No free slot, or no loaded model",
}
_OF_BODIES = (400, 404, 408, 413, 415, 503)


def document(limits: RequestLimits) -> dict[str, Any]:
    """Return the description of a server with these limits."""
    paths = _server_paths() | _v1_paths() | _v2_paths()
    for path, item in paths.items():
        names = re.findall(r"{(\w+)}", path)
        common = [_parameter(name, "path", required=True) for name in names]
        common.append(_parameter(request_id.HEADER, "header", f"The id: {request_id.FORM}"))
        common.append(_parameter(trace_context.HEADER, "header", "W3C Trace Context"))
        item["parameters"] = common
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sentiment predictor",
            "version": "1",
            "description": "v1 and v2 of KServe's inference protocol, explanations and feedback."
            f" A body has at most {limits.max_body_bytes} bytes, and the texts of a request have"
            f" at most {limits.max_request_characters} characters.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas(limits),
            "responses": {str(status): _error(status) for status in _REASONS},
            "headers": {
                request_id.HEADER: {"description": "The id of the request", "schema": _STRING},
                _VERSION: {"description": "The version that answered", "schema": _STRING},
            },
        },
    }


def _server_paths() -> dict[str, Any]:
    page: dict[str, Any] = {"text/html": {"schema": _STRING}}
    metrics: dict[str, Any] = {"text/plain": {"schema": _STRING}}
    return {
        "/": _get("The page for browsers, liveness for others", _json("Alive") | page),
        "/metrics": _get("Metrics of Prometheus", metrics),
    }


def _v1_paths() -> dict[str, Any]:
    model = "/v1/models/{model_name}"
    predict = {**_json("PredictRequest"), **_event("PredictEvent")}
    predictions = {**_json("Predictions"), **_event("PredictionsEvent")}
    return {
        "/v1/models": _get("Names of the loaded models", _json("Models")),
        model: _get("Readiness of the model", _json("ModelReady"), 404, 503),
        f"{model}:predict": _post("Classify", predict, predictions),
        f"{model}:explain": _post("Explain", _json("ExplainRequest"), _json("Explanations")),
        f"{model}:feedback": _post(
            "Say which classes are right", _json("FeedbackRequest"), _json("Accepted"), "202"
        ),
    }


def _v2_paths() -> dict[str, Any]:
    model = "/v2/models/{model_name}"
    paths = {
        "/v2": _get("Name, version and extensions of the server", _json("ServerMetadata")),
        "/v2/health/live": _get("Liveness of the server", _json("Live")),
        "/v2/health/ready": _get("Readiness of the server", _json("Ready"), 503),
        "/v2/models": _get("Names of the loaded models", _json("Models")),
    }
    for each in (model, f"{model}/versions/{{model_version}}"):
        infer = _post(
            "Classify", {**_json("InferRequest"), **_RAW}, {**_json("InferResponse"), **_RAW}
        )
        length = _parameter(
            INFERENCE_CONTENT_LENGTH_HEADER, "header", "Bytes of JSON before raw data"
        )
        infer["post"]["parameters"] = [length | {"schema": {"type": "integer", "minimum": 0}}]
        paths[each] = _get("Types of the tensors, and classes", _json("ModelMetadata"), 404, 503)
        paths[f"{each}/ready"] = _get("Readiness of the model", _json("ModelReady"), 404, 503)
        paths[f"{each}/infer"] = infer
    for verb in ("load", "unload"):
        name = verb.capitalize()
        operation = _operation(f"{name} the model", "200", _json(name), 403, 404, 503)
        paths[f"/v2/repository/models/{{model_name}}/{verb}"] = {"post": operation}
    return paths


def _get(summary: str, answer: dict[str, Any], *errors: int) -> dict[str, Any]:
    return {"get": _operation(summary, "200", answer, *errors)}


def _post(
    summary: str, body: dict[str, Any], answer: dict[str, Any], status: str = "200"
) -> dict[str, Any]:
    operation = _operation(summary, status, answer, *_OF_BODIES)
    operation["requestBody"] = {"required": True, "content": body}
    return {"post": operation}


def _operation(summary: str, status: str, answer: dict[str, Any], *errors: int) -> dict[str, Any]:
    responses = {str(error): _reference("responses", str(error)) for error in errors}
    headers = {name: _reference("headers", name) for name in (request_id.HEADER, _VERSION)}
    if not any(schema in str(answer) for schema in ("/Predictions", "/Expl", "/InferRes")):
        del headers[_VERSION]
    responses[status] = {"description": "Success", "headers": headers, "content": answer}
    return {"summary": summary, "responses": responses}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": _reference("schemas", schema)}}


def _event(schema: str) -> dict[str, Any]:
    return {"application/cloudevents+json": {"schema": _reference("schemas", schema)}}


def _reference(kind: str, name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _parameter(name: str, where: str, text: str = "", required: bool = False) -> dict[str, Any]:
    described = {"description": text} if text else {}
    return {"name": name, "in": where, "required": required, "schema": _STRING, **described}


def _error(status: int) -> dict[str, Any]:
    headers: dict[str, Any] = {request_id.HEADER: _reference("headers", request_id.HEADER)}
    if status == 503:
        retry = {"description": "Seconds until a retry", "schema": {"type": "integer"}}
        headers["retry-after"] = retry
    return {"description": _REASONS[status], "headers": headers, "content": _json("Error")}
