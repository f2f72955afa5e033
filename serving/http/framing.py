"""Find where the parts of a request end, and check a head more strictly than httptools does."""

import re
from typing import Protocol

_HTTP_1_0, _HTTP_1_1 = "1.0", "1.1"
_HOST = re.compile(rb"(\[[\w:.%~-]*\]|[\w.~%!$&'()*+,;=-]*)(:[0-9]*)?[ \t]*", re.ASCII)
_FIRST = re.compile(rb"[^\r\n]")  # empty lines before a head are ignored
_HEAD_END = b"\r\n\r\n"
_LINE_PER_BYTE = 8  # a chunk of one byte has a line of three, and may have an extension
_LINES = 1000  # of a chunked body at a time; they take a millisecond or two


class FramingError(ValueError):
    """The head is ambiguous or incomplete; a proxy may understand it in another way."""


class Part(Protocol):
    """A head or a body, of which the bytes arrive in packets of any size."""

    def end(self, data: bytes, start: int) -> int:
        """Return the index behind the last byte of ``data`` that may be parsed now.

        It is behind the part if the part ends in ``data[start:]``, and else mostly behind
        ``data``. The caller continues there.
        """


class Head:
    def __init__(self) -> None:
        self._begun = False
        self._last = b""  # bytes, as the end may be in two packets

    def end(self, data: bytes, start: int) -> int:
        if not self._begun:
            first = _FIRST.search(data, start)
            if first is None:
                return len(data)
            self._begun = True
            start = first.start()
        elif (across := (self._last + data[start : start + 3]).find(_HEAD_END)) >= 0:
            return start + across + len(_HEAD_END) - len(self._last)
        at = data.find(_HEAD_END, start)
        if at >= 0:
            return at + len(_HEAD_END)
        self._last = (self._last + data[max(start, len(data) - 3) :])[-3:]
        return len(data)


class SizedBody:
    def __init__(self, size: int) -> None:
        self._left = size

    def end(self, data: bytes, start: int) -> int:
        end = min(start + self._left, len(data))
        self._left -= end - start
        return end


class ChunkedBody:
    """Chunks and trailers, read as far as to find their end; httptools checks and decodes them.

    ``surplus`` is the number of bytes of chunk sizes, extensions and trailers, less
    ``_LINE_PER_BYTE`` for each byte of the chunks before them.
    """

    def __init__(self) -> None:
        self.surplus = 0
        self._left = 0  # bytes of a chunk and its line end
        self._line = b""  # the beginning of a line
        self._in_trailers = False

    def end(self, data: bytes, start: int) -> int:
        """See :class:`Part`; return after a thousand lines, however short the chunks are."""
        for _ in range(_LINES):
            skipped = min(self._left, len(data) - start)
            self._left -= skipped
            start += skipped
            behind = data.find(b"\n", start) + 1
            if not behind:
                self.surplus += len(data) - start
                self._line += data[start:]
                return len(data)
            self.surplus += behind - start
            line, self._line = self._line + data[start:behind], b""
            start = behind
            if not self._in_trailers:
                self._read_size(line)
            elif line == b"\r\n":
                return start
        return start

    def _read_size(self, line: bytes) -> None:
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:  # httptools refuses it, too
            size = 0
        self._in_trailers = size == 0
        self._left = size + len(b"\r\n") if size else 0
        self.surplus = max(self.surplus - _LINE_PER_BYTE * size, 0)


def body(version: str, headers: list[tuple[bytes, bytes]], upgrade: bool) -> Part:
    """Return the body that such a head announces.

    httptools has checked that Content-Length is a single number. It takes a body behind a coding
    that it does not decode, any number of hosts and versions before 1.0 (seen with 0.9.0), and
    takes the body of a request that asks for another protocol (``upgrade``) for what follows it.

    Raises:
        FramingError: the request is refused with a 400, see RFC 9112, sections 3.2 and 6.1.
    """
    if version not in (_HTTP_1_0, _HTTP_1_1):
        raise FramingError("only HTTP/1.1 is supported")
    hosts, size, chunked = 0, 0, False
    for name, value in headers:
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                raise FramingError("Host is not a host and a port")
        elif name == b"content-length":
            size = int(value)
        elif name == b"transfer-encoding":
            if value.strip(b" \t").lower() != b"chunked" or version == _HTTP_1_0:
                raise FramingError("Transfer-Encoding must be chunked, alone, and of HTTP/1.1")
            chunked = True
    if hosts > 1 or (not hosts and version == _HTTP_1_1):
        raise FramingError(f"the request must have one Host header, and has {hosts}")
    if upgrade and (size or chunked):
        raise FramingError("only HTTP/1.1 is supported; send the request without Upgrade")
    return ChunkedBody() if chunked else SizedBody(size)
