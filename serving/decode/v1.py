"""Decode the payload of a v1 request."""

from typing import Any

from kserve.errors import InvalidInput

from serving.decode.checks import check_count, check_texts, describe_type
from serving.limits import RequestLimits


def decode(payload: Any, limits: RequestLimits) -> dict[str, Any]:
    """Return the payload with each of its instances as a text.

    Raises:
        InvalidInput: the payload is not v1's, or exceeds a limit.
    """
    if not isinstance(payload, dict):
        kind = describe_type(payload)
        raise InvalidInput(f"the data of the event are a JSON {kind}, not an object")
    instances = payload.get("instances")
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('"instances" must be a list of one review or more')
    check_count(len(instances), limits)
    texts: list[Any] = [each.get("text") if isinstance(each, dict) else each for each in instances]
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInput(f'instances[{i}] must be a string or {{"text": string}}')
    return payload | {"instances": check_texts(texts, limits)}
