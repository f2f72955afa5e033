"""Checks that v1 and v2 share: strict JSON, Unicode, and the limits on reviews."""

import json
from typing import Any, NoReturn

from kserve.errors import InvalidInput

from serving.errors import TooLargeError
from serving.limits import RequestLimits


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a body as one object of strict JSON, in which no object repeats a name.

    orjson would keep the last of two equal names, and on bodies that are mostly text it is no
    faster.

    Raises:
        InvalidInput: the body is something else; 400.
    """
    try:
        value = _decode(body.decode())
    except InvalidInput:
        raise
    except RecursionError as error:
        raise InvalidInput("the body is nested too deeply") from error
    except ValueError as error:  # wrong syntax, no UTF-8, or a number of thousands of digits
        raise InvalidInput(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"the body is a JSON {describe_type(value)}, not an object")
    return value


def check_texts(texts: list[str], limits: RequestLimits) -> list[str]:
    """Return the texts if they are Unicode and within the limits."""
    for i, text in enumerate(texts):
        if len(text) > limits.max_characters:
            raise TooLargeError(f"review {i} has more than {limits.max_characters} characters")
        check_unicode(text, f"review {i}")
    if sum(map(len, texts)) > limits.max_request_characters:
        raise TooLargeError(
            f"the reviews have more than {limits.max_request_characters} characters"
        )
    return texts


def check_count(count: int, limits: RequestLimits) -> None:
    if count > limits.max_instances:
        raise TooLargeError(f"there are more than {limits.max_instances} reviews")


def check_unicode(text: str, what: str) -> None:
    """Refuse half a surrogate pair: JSON can escape it, but UTF-8 cannot encode it."""
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{what} is not Unicode: {error.reason}") from error


def describe_type(value: Any) -> str:
    """Return JSON's name for the type of a value that is not an object."""
    names = {list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidInput("the body has a name twice in one object")
    return members


def _constant(name: str) -> NoReturn:
    raise InvalidInput(f"the body is not JSON: {name} is not a number")


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant).decode
