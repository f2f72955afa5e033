"""Decode v2 requests, over REST and gRPC."""

import struct
from collections.abc import Iterable, Sequence
from typing import Any

from kserve import InferInput, InferRequest
from kserve.errors import InvalidInput
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest
from kserve.protocol.infer_type import RequestedOutput

from serving.decode.checks import check_count, check_texts, check_unicode, parse_object
from serving.limits import RequestLimits

INPUT = "text"
OUTPUTS = ("label", "probabilities", "probability")
_LENGTH = struct.Struct("<I")


def decode_rest(
    body: bytes, json_length: str | None, model_name: str, limits: RequestLimits
) -> InferRequest:
    """Decode a body of JSON, followed by raw data if ``json_length`` is less than the body's.

    Raises:
        InvalidInput: the body is not v2's, or exceeds a limit.
    """
    end = len(body) if json_length is None else _json_end(json_length, len(body))
    payload = parse_object(body[:end])
    inputs = payload.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise InvalidInput(f'"inputs" must be a list of one tensor, "{INPUT}"')
    tensor = inputs[0]
    values = tensor.get("data")
    if end < len(body):
        size = _parameters(tensor).get("binary_data_size")
        if values is not None or size != len(body) - end:
            extra = len(body) - end
            raise InvalidInput(f"the {extra} bytes after the JSON are not the data of an input")
        values = _split_raw(body[end:], limits)
    if not isinstance(values, list):
        raise InvalidInput(f'"data" of input "{INPUT}" must be a list')
    texts = _texts(tensor.get("name"), tensor.get("datatype"), tensor.get("shape"), values, limits)
    binary = _flag(_parameters(payload), "binary_data_output")
    return InferRequest(
        model_name,
        [InferInput(INPUT, [len(texts)], "BYTES", texts)],
        request_id=_request_id(payload),
        parameters={"binary_data_output": binary},
        request_outputs=_rest_outputs(payload.get("outputs"), binary),
    )


def decode_grpc(request: ModelInferRequest, limits: RequestLimits) -> InferRequest:
    """Return the same as KServe's ``InferRequest.from_grpc``, but check the message first.

    Raises:
        InvalidInput: the message is not as the model takes it, or exceeds a limit.
    """
    if len(request.inputs) != 1:
        raise InvalidInput(f'one input, "{INPUT}", is expected, not {len(request.inputs)}')
    tensor, raw = request.inputs[0], request.raw_input_contents
    if not raw:
        values: Sequence[Any] = tensor.contents.bytes_contents
    elif len(raw) == 1 and not tensor.HasField("contents"):
        values = _split_raw(raw[0], limits)
    else:
        raise InvalidInput("the data must be in contents or in raw_input_contents, once")
    texts = _texts(tensor.name, tensor.datatype, list(tensor.shape), values, limits)
    return InferRequest(
        request.model_name,
        [InferInput(INPUT, [len(texts)], "BYTES", texts)],
        request_id=request.id,
        raw_inputs=raw,
        from_grpc=True,
        request_outputs=_select_outputs((each.name, False) for each in request.outputs),
        model_version=request.model_version,
    )


def _texts(
    name: object, datatype: object, shape: object, values: Sequence[Any], limits: RequestLimits
) -> list[str]:
    if (name, datatype) != (INPUT, "BYTES"):
        raise InvalidInput(f'the input must be "{INPUT}" of datatype BYTES')
    if not values:
        raise InvalidInput(f'input "{INPUT}" must have one value or more')
    check_count(len(values), limits)
    column = [len(values), 1]  # as NumPy has a column, and MLServer's StringCodec
    integers = isinstance(shape, list) and all(type(each) is int for each in shape)
    if not integers or shape not in (column[:1], column):
        raise InvalidInput(
            f'input "{INPUT}" must have the shape [{len(values)}] of its values, or {column}'
        )
    try:
        texts = [each.decode() if isinstance(each, bytes) else each for each in values]
    except UnicodeDecodeError as error:
        raise InvalidInput(f'input "{INPUT}" is not UTF-8: {error.reason}') from error
    if not all(isinstance(text, str) for text in texts):
        raise InvalidInput(f'input "{INPUT}" must hold strings')
    return check_texts(texts, limits)


def _split_raw(raw: bytes, limits: RequestLimits) -> list[bytes]:
    """Split raw BYTES into its values; four bytes with its length precede each value."""
    values: list[bytes] = []
    end = 0
    while end < len(raw):
        check_count(len(values) + 1, limits)
        begin = end + _LENGTH.size
        if begin <= len(raw):
            end = begin + _LENGTH.unpack_from(raw, end)[0]
        if not begin <= end <= len(raw):
            raise InvalidInput(f'the data of input "{INPUT}" end within a value')
        values.append(raw[begin:end])
    return values


def _json_end(json_length: str, size: int) -> int:
    if not json_length.isdecimal() or len(json_length) > 18 or int(json_length) > size:
        raise InvalidInput("inference-header-content-length is not a length within the body")
    return int(json_length)


def _request_id(payload: dict[str, Any]) -> str | None:
    value = payload.get("id")
    if value is not None and not isinstance(value, str):
        raise InvalidInput('"id" must be a string')
    check_unicode(value or "", '"id"')
    return value


def _parameters(owner: dict[str, Any]) -> dict[str, Any]:
    value = owner.get("parameters")
    if value is not None and not isinstance(value, dict):
        raise InvalidInput('"parameters" must be an object')
    return value or {}


def _flag(parameters: dict[str, Any], name: str, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidInput(f'parameter "{name}" must be true or false')
    return value


def _rest_outputs(outputs: Any, binary: bool) -> list[RequestedOutput] | None:
    if outputs is None:
        return None
    if not isinstance(outputs, list) or not all(isinstance(each, dict) for each in outputs):
        raise InvalidInput('"outputs" must be a list of objects')
    return _select_outputs(
        (each.get("name"), _flag(_parameters(each), "binary_data", binary)) for each in outputs
    )


def _select_outputs(outputs: Iterable[tuple[object, bool]]) -> list[RequestedOutput] | None:
    """Return the outputs that the request names, or None if it names none and gets all."""
    selected: dict[str, RequestedOutput] = {}
    for name, binary in outputs:
        if name not in OUTPUTS or name in selected:
            raise InvalidInput(f"the outputs are {', '.join(OUTPUTS)}, each once at most")
        selected[str(name)] = RequestedOutput(str(name), {"binary_data": binary})
    return list(selected.values()) or None
