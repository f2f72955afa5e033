"""From the body of a request to texts, with all checked that may be wrong in it."""

import json
from typing import Any, NoReturn

from kserve.errors import InvalidInput

from serving.errors import TooLargeError
from serving.limits import Limits


def parse(body: bytes) -> dict[str, Any]:
    """Return the object that a body of strict JSON holds; no name may repeat in an object.

    orjson takes the last of two, and is no quicker to notice on bodies that are mostly text.
    """
    try:
        value = _decode(body.decode())
    except InvalidInput:
        raise
    except RecursionError as error:
        raise InvalidInput("the body is nested too deeply") from error
    except ValueError as error:  # the syntax, the UTF-8, or a number of thousands of digits
        raise InvalidInput(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"the body is a JSON {_kind(value)}, not an object")
    return value


def v1(payload: Any, limits: Limits) -> dict[str, Any]:
    """Return the payload of a v1 request with texts for its instances."""
    if not isinstance(payload, dict):
        raise InvalidInput(f"the data of the event are a JSON {_kind(payload)}, not an object")
    instances = payload.get("instances")
    if not isinstance(instances, list) or not instances:
        raise InvalidInput('"instances" must be a list of one review or more')
    check_count(len(instances), limits)
    texts: list[Any] = [each.get("text") if isinstance(each, dict) else each for each in instances]
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInput(f'instances[{i}] must be a string or {{"text": string}}')
    return payload | {"instances": checked(texts, limits)}


def checked(texts: list[str], limits: Limits) -> list[str]:
    for i, text in enumerate(texts):
        if len(text) > limits.max_characters:
            raise TooLargeError(f"review {i} has more than {limits.max_characters} characters")
        check_unicode(text, f"review {i}")
    if sum(map(len, texts)) > limits.max_request_characters:
        raise TooLargeError(
            f"the reviews have more than {limits.max_request_characters} characters"
        )
    return texts


def check_count(count: int, limits: Limits) -> None:
    if count > limits.max_instances:
        raise TooLargeError(f"there are more than {limits.max_instances} reviews")


def check_unicode(text: str, what: str) -> None:
    """Refuse half a surrogate pair: JSON can escape one, and nothing can send one back."""
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{what} is not Unicode: {error.reason}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidInput("the body has a name twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise InvalidInput(f"the body is not JSON: {name} is no number")


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant).decode


def _kind(value: Any) -> str:
    kinds = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")
