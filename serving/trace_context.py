"""The header traceparent, which names the trace that a request belongs to (W3C Trace Context)."""

import re
from typing import NamedTuple

HEADER = "traceparent"  # also the key of gRPC's metadata
_match = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?").fullmatch


class TraceParent(NamedTuple):
    """A valid header, the trace in it and the span of the caller, both in hexadecimal digits."""

    header: str
    trace_id: str
    parent_id: str


def parse(header: str | None) -> TraceParent | None:
    """Return the contents of a header, or None if it is absent or invalid and is to be ignored."""
    found = _match(header or "")
    if header is None or found is None:
        return None
    version, trace_id, parent_id, more = found.groups()
    if version == "ff" or not trace_id.strip("0") or not parent_id.strip("0"):
        return None
    if version == "00" and more is not None:  # later versions may append fields
        return None
    return TraceParent(header, trace_id, parent_id)
