"""Check how the head of a request frames its body, more strictly than httptools."""

import re

_HTTP_1_0, _HTTP_1_1 = "1.0", "1.1"
_HOST = re.compile(rb"(\[[\w:.%~-]*\]|[\w.~%!$&'()*+,;=-]*)(:[0-9]*)?", re.ASCII)


class FramingError(ValueError):
    """The head is ambiguous or incomplete; a proxy may understand it in another way."""


def body_length(version: str, headers: list[tuple[bytes, bytes]], upgrade: bool) -> int | None:
    """Return the number of bytes of the body, or None if it comes in chunks.

    httptools has checked that Content-Length is a single number. It takes a body behind a coding
    that it does not decode, any number of hosts and versions before 1.0 (seen with 0.9.0), and
    takes the body of a request that asks for another protocol (``upgrade``) for what follows it.

    Raises:
        FramingError: the request is refused with a 400, see RFC 9112, sections 3.2 and 6.1.
    """
    if version not in (_HTTP_1_0, _HTTP_1_1):
        raise FramingError("only HTTP/1.1 is supported")
    hosts, length = 0, 0
    chunked = False
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value.strip(b" \t")):
                raise FramingError("Host is not a host and a port")
        elif name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            if value.strip(b" \t").lower() != b"chunked" or version == _HTTP_1_0:
                raise FramingError("Transfer-Encoding must be chunked, alone, and of HTTP/1.1")
            chunked = True
    if hosts > 1 or (not hosts and version == _HTTP_1_1):
        raise FramingError(f"the request must have one Host header, and has {hosts}")
    if upgrade and (length or chunked):
        raise FramingError("only HTTP/1.1 is supported; send the request without Upgrade")
    return None if chunked else length
