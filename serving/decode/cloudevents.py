"""Find the request in a CloudEvent (1.0): in its data, or behind its headers."""

from collections.abc import Mapping
from typing import Any

from kserve.errors import InvalidInput

STRUCTURED = "application/cloudevents+json"
REQUIRED = ("specversion", "id", "source", "type")
VERSIONS = ("1.0", "0.3")


def is_binary(headers: Mapping[str, str]) -> bool:
    """Tell whether the headers have the attributes of an event, and the body its data.

    Raises:
        InvalidInput: they have the version of an event, but not all required attributes; 400.
    """
    if "ce-specversion" not in headers:
        return False
    for name in REQUIRED:
        if f"ce-{name}" not in headers:
            raise InvalidInput(f"the CloudEvent has no header ce-{name}")
    return True


def unwrap(payload: dict[str, Any], headers: dict[str, str]) -> tuple[Any, dict[str, Any]]:
    """Return the data of a structured event and its attributes; of no event, the payload and {}.

    A payload of another content type is an event, too, if it has all of its required attributes
    and data. The content type is reduced to ``STRUCTURED`` in the headers: KServe answers with an
    event if it is equal to this, and takes no parameter behind it (kserve 0.21.0).

    Raises:
        InvalidInput: the content type is that of an event, but the payload is none; 400.
    """
    missing = [name for name in (*REQUIRED, "data") if name not in payload]
    if headers.get("content-type", "").partition(";")[0].strip().lower() == STRUCTURED:
        headers["content-type"] = STRUCTURED
        if missing:
            raise InvalidInput(f'the CloudEvent has no "{missing[0]}"')
    elif missing:
        return payload, {}
    for name in REQUIRED:
        if not isinstance(payload[name], str) or not payload[name]:
            raise InvalidInput(f'"{name}" of the CloudEvent must be a string')
    if payload["specversion"] not in VERSIONS:
        raise InvalidInput(f'"specversion" of the CloudEvent must be {" or ".join(VERSIONS)}')
    return payload["data"], {name: payload[name] for name in payload if name != "data"}
