"""The ends of heads and bodies are those that httptools finds, in packets of any size."""

import random

import pytest
from httptools import HttpParserError, HttpRequestParser

from serving.http.framing import ChunkedBody, FramingError, Head, Part, SizedBody, body

TOP = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
INSERTED = [
    b"\r\n",
    b"\n",
    b"\r",
    b"0",
    b"0\r\n\r\n",
    b";",
    b'"',
    b"a:b\r\n",
    b" ",
    b"_",
    b"x",
    b"-",
]


class Ends:
    def __init__(self) -> None:
        self.found = False

    def on_message_complete(self) -> None:
        self.found = True


def parsed_end(data: bytes) -> int | None:
    """Return the end of the first request, or None if it has none or is invalid."""
    ends = Ends()
    parser = HttpRequestParser(ends)
    for i in range(len(data)):
        try:
            parser.feed_data(data[i : i + 1])
        except HttpParserError:
            return None
        if ends.found:
            return i + 1
    return None


def piece_ends(part: Part, data: bytes, packet: int) -> set[int]:
    """Return where the pieces end that a part makes of data in packets of a size."""
    ends: set[int] = set()
    for first in range(0, len(data), packet):
        received = data[first : first + packet]
        at = 0
        while at < len(received):
            at = part.end(received, at)
            ends.add(first + at)
            if not isinstance(part, ChunkedBody):
                break
    return ends


def chunked_body(rng: random.Random) -> bytes:
    sizes = [rng.randint(1, 30) for _ in range(rng.randint(0, 4))]
    extension = rng.choice([b"", b";a=b", b';a="b;"', b";a"])
    chunks = [
        b"%x%s\r\n%s\r\n" % (n, extension, rng.choice([b"\r", b"\n", b"0"]) * n) for n in sizes
    ]
    trailers = rng.choice([b"", b"A: b\r\n", b"A: b\r\nB:\r\n"])
    return b"".join(chunks) + b"0" * rng.randint(1, 3) + b"\r\n" + trailers + b"\r\n"


def test_chunked_bodies_end_where_the_parser_ends_them():
    rng = random.Random(1)
    valid = 0
    for _ in range(20_000):
        data = chunked_body(rng)
        for _ in range(rng.choice([0, 1, 2])):
            at = rng.randint(0, len(data))
            data = data[:at] + rng.choice(INSERTED) + data[at + rng.choice([0, 1]) :]
        data += b"0\r\n\r\n" * 3
        end = parsed_end(TOP + data)
        if end is not None:
            valid += 1
            packet = rng.choice([2, 5, 1000])
            assert end - len(TOP) in piece_ends(ChunkedBody(), data, packet), data
    assert valid > 5_000


@pytest.mark.parametrize("empty", [b"", b"\r\n", b"\r\n\r\n\r\n"])
def test_head_ends_at_its_empty_line(empty):
    data = empty + TOP + b"0\r\n\r\n"
    for packet in range(1, len(data)):
        assert len(empty + TOP) in piece_ends(Head(), data, packet)


def test_sized_body_ends_by_its_size():
    assert 7 in piece_ends(SizedBody(7), b"0123456789", 1000)
    assert 7 in piece_ends(SizedBody(7), b"0123456789", 4)
    assert SizedBody(0).end(b"0", 0) == 0


def test_short_chunks_are_read_a_thousand_at_a_time():
    part, data = ChunkedBody(), b"1\r\nx\r\n" * 5000
    assert part.end(data, 0) == 6 * 1000 - 3  # before the last of a thousand chunks
    assert part.end(data, 5997) == 6 * 2000 - 3


@pytest.mark.parametrize(
    ("version", "headers", "upgrade"),
    [
        ("0.9", [], False),
        ("1.1", [], False),
        ("1.1", [(b"host", b"a"), (b"host", b"a")], False),
        ("1.1", [(b"host", b"a b")], False),
        ("1.0", [(b"transfer-encoding", b"chunked")], False),
        ("1.1", [(b"host", b"a"), (b"transfer-encoding", b"gzip, chunked")], False),
        ("1.1", [(b"host", b"a"), (b"content-length", b"1")], True),
    ],
)
def test_ambiguous_head_is_refused(version, headers, upgrade):
    with pytest.raises(FramingError):
        body(version, headers, upgrade)
