"""Decode the payload of a request of feedback."""

from collections.abc import Sequence
from typing import Any

from kserve.errors import InvalidInput

from serving import request_id
from serving.decode.checks import check_unicode
from serving.errors import TooLargeError
from serving.limits import RequestLimits

MAX_INDEX = 2**31 - 1
MAX_BY = 200  # characters
_REQUIRED, _OPTIONAL = ("id", "index", "label"), ("by",)


def decode(
    payload: dict[str, Any], classes: Sequence[str], limits: RequestLimits
) -> list[dict[str, Any]]:
    """Return the items, each with ``request_id``, ``index``, ``label`` and, if given, ``by``.

    Raises:
        InvalidInput: an item is not as documented; 400.
        TooLargeError: there are more items than a request may have; 413.
    """
    items = payload.get("feedback")
    if not isinstance(items, list) or not items:
        raise InvalidInput('"feedback" must be a list of one item or more')
    if len(payload) > 1:
        raise InvalidInput('the body must be {"feedback": [...]} and nothing else')
    if len(items) > limits.max_instances:
        raise TooLargeError(f"feedback has more than {limits.max_instances} items")
    return [_decode_item(f"feedback[{i}]", item, classes) for i, item in enumerate(items)]


def _decode_item(place: str, item: Any, classes: Sequence[str]) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise InvalidInput(f"{place} must be an object of id, index, label and, optionally, by")
    for name in _REQUIRED:
        if name not in item:
            raise InvalidInput(f"{place}.{name} is missing")
    for name in item:
        if name not in _REQUIRED + _OPTIONAL:
            raise InvalidInput(f"{place} has the unknown field {name[:50]!a}")
    name, index, label = (item[field] for field in _REQUIRED)
    if not isinstance(name, str) or not request_id.is_valid(name):
        raise InvalidInput(f"{place}.id must be the x-request-id of an answer: {request_id.FORM}")
    if type(index) is not int or not 0 <= index <= MAX_INDEX:
        raise InvalidInput(f"{place}.index must be an integer from 0 to {MAX_INDEX}")
    if label not in classes:
        raise InvalidInput(f"{place}.label must be one of {', '.join(classes)}")
    decoded = {"request_id": name, "index": index, "label": label}
    if "by" in item:
        decoded["by"] = _decode_by(f"{place}.by", item["by"])
    return decoded


def _decode_by(place: str, by: Any) -> str:
    if not isinstance(by, str) or not 1 <= len(by) <= MAX_BY:
        raise InvalidInput(f"{place} must be a string of 1 to {MAX_BY} characters")
    check_unicode(by, place)
    return by
