"""JSON Schemas of all bodies, for the description of the server."""

from typing import Any

from serving import explanations, request_id
from serving.decode import feedback, v2
from serving.decode.cloudevents import REQUIRED, VERSIONS
from serving.limits import RequestLimits

_STRING, _NUMBER, _BOOLEAN = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}


def schemas(limits: RequestLimits) -> dict[str, Any]:
    """Return the schemas by name."""
    return {
        "Error": _object(error=_STRING),
        **_states(),
        **_predictions(limits),
        **_explanations(),
        **_feedback(limits),
        **_tensors(limits),
    }


def _states() -> dict[str, Any]:
    return {
        "Alive": _object(status={"const": "alive"}),
        "Live": _object(live=_BOOLEAN),
        "Ready": _object(ready=_BOOLEAN),
        "Models": _object(models=_array(_STRING)),
        "ModelReady": _object(name=_STRING, ready=_BOOLEAN),
        "Load": _object(name=_STRING, load=_BOOLEAN),
        "Unload": _object(name=_STRING, unload=_BOOLEAN),
        "ServerMetadata": _object(name=_STRING, version=_STRING, extensions=_array(_STRING)),
    }


def _predictions(limits: RequestLimits) -> dict[str, Any]:
    text = _STRING | {"maxLength": limits.max_characters}
    texts = {"anyOf": [text, _object(text=text)]}
    instances = _array(texts, 1, limits.max_instances)
    return {
        "PredictRequest": _object(instances=instances),
        "Prediction": _optional(
            ("probability",),
            label=_STRING,
            probabilities={"type": "object", "additionalProperties": _NUMBER},
            probability=_NUMBER,  # of the second of two classes
        ),
        "Predictions": _object(predictions=_array(_schema("Prediction"))),
        "PredictEvent": _event("PredictRequest"),
        "PredictionsEvent": _event("Predictions"),
        "ExplainRequest": _optional(
            ("parameters",),
            instances=instances,
            parameters={
                "type": "object",
                "properties": {
                    "top": _COUNT | {"maximum": explanations.MAX_TOP},
                    "tokens": _BOOLEAN,
                    "class": _STRING,
                },
                "additionalProperties": False,
            },
        ),
    }


def _explanations() -> dict[str, Any]:
    span = _array(_COUNT, 2, 2)
    ngram = _object(ngram=_STRING, contribution=_NUMBER, count=_COUNT, spans=_array(span))
    own = {
        "class": _STRING,
        "log_odds": _NUMBER,
        "bias": _NUMBER,
        "ngrams": _array(ngram),
        "other": _NUMBER,
        "words": _object(total=_COUNT, known=_COUNT, unseen=_BOOLEAN),
        "tokens": _array(_array(_NUMBER, 3, 3)),
    }
    explanation = {"allOf": [_schema("Prediction"), _optional(("tokens",), **own)]}
    return {
        "Explanation": explanation,
        "Explanations": _object(explanations=_array(_schema("Explanation"))),
    }


def _feedback(limits: RequestLimits) -> dict[str, Any]:
    item = _optional(
        ("by",),
        id=_STRING | {"pattern": request_id.PATTERN},
        index=_COUNT | {"maximum": feedback.MAX_INDEX},
        label=_STRING,
        by=_STRING | {"minLength": 1, "maxLength": feedback.MAX_BY},
    )
    item["additionalProperties"] = False
    return {
        "FeedbackRequest": _object(feedback=_array(item, 1, limits.max_instances)),
        "Accepted": _object(accepted=_COUNT),
    }


def _tensors(limits: RequestLimits) -> dict[str, Any]:
    anything = {"type": "object"}
    tensor = _optional(
        ("data", "parameters"),
        name={"const": v2.INPUT},
        datatype={"const": "BYTES"},
        shape=_array(_COUNT | {"minimum": 1}, 1, 2),
        data=_array(_STRING, 1, limits.max_instances),  # or raw, behind the JSON
        parameters=anything,
    )
    requested = _optional(("parameters",), name={"enum": list(v2.OUTPUTS)}, parameters=anything)
    output = _optional(
        ("data",),  # or raw, behind the JSON
        name={"enum": list(v2.OUTPUTS)},
        datatype=_STRING,
        shape=_array(_COUNT),
        data=_array({"type": ["string", "number"]}),
    )
    described = _optional(
        ("parameters",),
        name=_STRING,
        datatype=_STRING,
        shape=_array({"type": "integer"}),
        parameters=_object(classes=_array(_STRING, 2)),  # of the output "probabilities"
    )
    return {
        "InferRequest": _optional(
            ("id", "outputs", "parameters"),
            id=_STRING,
            inputs=_array(tensor, 1, 1),
            outputs=_array(requested),
            parameters=anything,
        ),
        "InferResponse": _object(
            id=_STRING, model_name=_STRING, model_version=_STRING, outputs=_array(output, 1)
        ),
        "ModelMetadata": _object(
            name=_STRING,
            versions=_array(_STRING),
            platform=_STRING,
            inputs=_array(described),
            outputs=_array(described),
            parameters=_object(feedback=_BOOLEAN),
        ),
    }


def _event(data: str) -> dict[str, Any]:
    """Return the schema of a CloudEvent with data of this schema."""
    attributes: dict[str, Any] = {name: _STRING | {"minLength": 1} for name in REQUIRED}
    attributes["specversion"] = {"enum": list(VERSIONS)}
    return _object(**attributes, data=_schema(data))


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _optional(names: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    """Return the schema of an object in which these properties may be absent."""
    required = [name for name in properties if name not in names]
    return _object(**properties) | {"required": required}


def _array(items: dict[str, Any], least: int = 0, most: int | None = None) -> dict[str, Any]:
    bounds = {"minItems": least} | ({} if most is None else {"maxItems": most})
    return {"type": "array", "items": items, **bounds}


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
