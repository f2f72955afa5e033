"""Ids of requests; a prediction is named by the id of its request and its index in there."""

import re
import uuid

HEADER = "x-request-id"  # also the key of gRPC's metadata
FORM = "1 to 128 of the characters A-Z, a-z, 0-9, '.', '_', ':' and '-'"
PATTERN = "^[A-Za-z0-9._:-]{1,128}$"
_match = re.compile(PATTERN).fullmatch


def is_valid(value: str) -> bool:
    return _match(value) is not None


def choose(*offered: str | None) -> str:
    """Return the first of the offered ids that has the form, or a new UUID."""
    for each in offered:
        if each and _match(each):
            return each
    return str(uuid.uuid4())
