"""Valid and invalid headers traceparent, as in the W3C's own tests."""

import pytest

from serving.trace_context import TraceParent, parse

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    "header",
    [VALID, f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-ff", f"cc-{TRACE}-{SPAN}-01-what"],
)
def test_valid_header_names_trace_and_span(header):
    assert parse(header) == TraceParent(header, TRACE, SPAN)


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "x", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01"),
        *(f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01", f"{VALID}-x", f"{VALID}-"),
        *(f"00-{TRACE}-{SPAN}", f"00-{TRACE[:-1]}-{SPAN}-01", f"{VALID}, {VALID}", f"{VALID}\n"),
        f"cc-{TRACE}-{SPAN}-01.what",
    ],
)
def test_invalid_header_is_ignored(header):
    assert parse(header) is None
