"""Where requests begin and end: heads, chunks, trailers and requests that are pipelined."""

import json
import re
import socket
import time

import pytest

from serving.http.protocol import MAX_HEAD
from tests.serving import INFER, PREDICT, head, read_response

LIVE = "/v2/health/live"
SMALL = json.dumps({"instances": ["good"]}).encode()
TENSOR = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]}
V2 = json.dumps({"inputs": [TENSOR]}).encode()
MAX_GROWTH = 30_000_000  # bytes of memory


def chunked_head(path: str = PREDICT, method: str = "POST", *lines: str) -> bytes:
    top = [f"{method} {path} HTTP/1.1", "Host: test", "Transfer-Encoding: chunked", *lines]
    return "\r\n".join([*top, "", ""]).encode()


def chunked(body: bytes, size: int = 10**6) -> bytes:
    """Return a body in chunks of ``size`` bytes, without the end of the last."""
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in pieces) + b"0\r\n"


def large_body(size: int) -> bytes:
    return SMALL + b" " * (size - len(SMALL))


def post(body: bytes = SMALL, path: str = PREDICT, *lines: str) -> bytes:
    return head(path, len(body), "POST", *lines) + body


def statuses(connection: socket.socket, count: int) -> list[int]:
    """Return the statuses of the next responses, which may come in one packet."""
    found: list[int] = []
    with connection.makefile("rb") as stream:
        for _ in range(count):
            found.append(int(stream.readline().split()[1]))
            while line := stream.readline().strip():
                if line.startswith(b"content-length"):
                    size = int(line.split()[1])
            stream.read(size)
    return found


LINES = b"".join(b"a%d: 1\r\n" % i for i in range(8000))
ENDLESS = {
    "trailers": (chunked(SMALL), LINES),
    "one trailer": (chunked(SMALL) + b"a: ", b"x" * 60_000),
    "trailers without a body": (b"0\r\n", LINES),
    "chunk extension": (b"1;a=", b"x" * 60_000),
    "chunk extensions": (b"", b"1;" + b"x" * 1000 + b"\r\n \r\n"),
    "zeros of a chunk size": (b"", b"0" * 60_000),
}


@pytest.mark.parametrize(("start", "repeated"), ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize(("method", "path"), [("POST", PREDICT), ("GET", LIVE), ("HEAD", LIVE)])
def test_what_surrounds_a_body_is_bounded(server, start, repeated, method, path):
    before = server.memory()
    with server.connect() as connection:
        connection.sendall(chunked_head(path, method) + start)
        with pytest.raises(ConnectionError):
            for _ in range(30_000_000 // len(repeated)):
                connection.sendall(repeated)
        status, body, _ = read_response(connection)
    assert status == 431
    assert b"chunk sizes, extensions and trailers" in body
    assert server.memory() - before < MAX_GROWTH


@pytest.mark.parametrize("answered", [b"", head(LIVE, 0, "GET")])
@pytest.mark.parametrize("repeated", [b"\r\n" * 20_000, LINES], ids=["empty lines", "headers"])
def test_head_is_bounded_on_a_used_connection(server, answered, repeated):
    before = server.memory()
    with server.connect() as connection:
        if answered:
            connection.sendall(answered)
            assert read_response(connection)[0] == 200
        connection.sendall(b"" if repeated[:1] == b"\r" else b"GET / HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):
            for _ in range(1_000):
                connection.sendall(repeated)
    assert server.memory() - before < MAX_GROWTH


@pytest.mark.parametrize("line", ["Connection: keep-alive", "Connection: close"])
def test_requests_behind_one_that_is_answered_are_bounded(server, line):
    """The server stops reading, whether or not it will answer what follows."""
    before = server.memory()
    slow = post(json.dumps({"instances": ["good " * 10_000] * 8}).encode(), PREDICT, line)
    with server.connect() as connection:
        connection.sendall(slow)
        connection.settimeout(0.5)
        with pytest.raises(OSError):  # the buffers of the kernel are full, or it is closed
            for _ in range(1_000):
                connection.sendall(head(LIVE, 0, "GET") * 1_000)
    assert server.memory() - before < MAX_GROWTH


@pytest.mark.parametrize(
    "trailer",
    [
        "Inference-Header-Content-Length: 5",
        "X-Request-Id: trailer",
        "Connection: close",
        "Expect: 100-continue",
        "Upgrade: h2c\r\nConnection: upgrade",
        "X-Long: " + "x" * 60_000,
    ],
)
def test_trailers_are_dropped(server, trailer):
    with server.connect() as connection:
        for _ in range(2):  # the second on the same connection
            request = chunked_head(INFER) + chunked(V2, 7)
            connection.sendall(request + f"{trailer}\r\n\r\n".encode())
            status, body, headers = read_response(connection)
            assert status == 200, body
            assert headers["x-request-id"] != "trailer"


@pytest.mark.parametrize("size", [1, 2, 5])
def test_body_in_small_chunks_is_served(server, size):
    body = large_body(200_000)
    assert server.send(chunked_head() + chunked(body, size) + b"\r\n")[0] == 200


def test_empty_lines_within_a_chunked_body_are_not_its_end(server):
    body = b'{\r\n\r\n"instances":\r\n\r\n\r\n\r\n["good"]}\r\n\r\n'
    requests = b"".join(chunked_head() + chunked(body, size) + b"\r\n" for size in range(1, 20))
    with server.connect() as connection:
        connection.sendall(requests)
        assert statuses(connection, 19) == [200] * 19


def test_end_of_a_chunked_body_may_be_in_two_packets(server):
    request = chunked_head() + chunked(SMALL) + b"\r\n"
    with server.connect() as connection:
        for length in range(1, 8):
            connection.sendall(request[:-length])
            time.sleep(0.02)
            connection.sendall(request[-length:] + post())
            assert statuses(connection, 2) == [200, 200]


def test_end_of_a_body_is_not_counted_as_a_head(server):
    """The head behind a large body comes in two pieces, the first with the end of the body."""
    first, second = post(large_body(100_000)), post()
    with server.connect() as connection:
        connection.sendall(first[:-90_000])
        time.sleep(0.1)
        connection.sendall(first[-90_000:] + second[:20])
        assert read_response(connection)[0] == 200
        connection.sendall(second[20:])
        assert read_response(connection)[0] == 200


FIRST = {
    "alone": b"",
    "behind a body": post(large_body(70_000)),
    "behind chunks": chunked_head() + chunked(SMALL) + b"\r\n",
}


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
@pytest.mark.parametrize("body", [SMALL, large_body(100_000)], ids=["small", "large"])
def test_limit_on_heads_is_exact(server, first, body):
    spare = MAX_HEAD - len(head(PREDICT, len(body), "POST", "X: "))
    for more, status in ((0, 200), (1, 431)):
        expected = [200, status] if first else [status]
        with server.connect() as connection:
            long = head(PREDICT, len(body), "POST", "X: " + "x" * (spare + more))
            connection.sendall(first + long + body)  # in one packet, as far as the kernel likes
            assert statuses(connection, len(expected)) == expected


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([], 400),
        (["Host: a", "Host: a"], 400),
        (["Host: a", "host: b"], 400),
        (["Host: a b"], 400),
        (["Host: a/b"], 400),
        (["Host: [::1"], 400),
        (["Host: a,b:c"], 400),
        (["Host:"], 200),
        (["Host: a.example:8080"], 200),
        (["Host: [fe80::1%25eth0]:80"], 200),
        (["Host: sentiment_v1.models.svc."], 200),
    ],
)
def test_host_is_named_once(server, lines, status):
    for path in (LIVE, "/nowhere"):
        request = "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()
        answered = server.send(request)[0]
        assert answered == (404 if status == 200 and path == "/nowhere" else status)


def test_http_1_0_needs_no_host(server):
    for lines, status in (("", 200), ("Host: a\r\n", 200), ("Host: a\r\nHost: b\r\n", 400)):
        assert server.send(f"GET {LIVE} HTTP/1.0\r\n{lines}\r\n".encode())[0] == status


@pytest.mark.parametrize(
    ("coding", "status"),
    [
        ("chunked", 200),
        (" Chunked ", 200),
        ("gzip, chunked", 400),
        ("identity, chunked", 400),
        ("chunked, chunked", 400),
        ("chunked;q=1", 400),
        ("xchunked", 400),
        ("gzip", 400),
        ("identity", 400),
        ("chunked\r\nTransfer-Encoding: chunked", 400),
        ("chunked\r\nContent-Length: 5", 400),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", PREDICT), ("GET", LIVE)])
def test_chunked_is_the_only_transfer_coding(server, coding, status, method, path):
    top = f"{method} {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n".encode()
    assert server.send(top + chunked(SMALL) + b"\r\n")[0] == status


@pytest.mark.parametrize("version", ["", " HTTP/0.9", " HTTP/2.0"])
def test_other_versions_are_refused(server, version):
    assert server.send(f"GET {LIVE}{version}\r\nHost: a\r\n\r\n".encode())[0] == 400


def test_http_1_0_has_no_chunks(server):
    request = chunked_head().replace(b"HTTP/1.1", b"HTTP/1.0") + chunked(SMALL) + b"\r\n"
    assert server.send(request)[0] == 400


@pytest.mark.parametrize("size", [len(SMALL), 500_000])
@pytest.mark.parametrize("garbage", [b"GARBAGE\r\n\r\n", b"\x00", b"GET / HTTP/1.1\r\n\r\n"])
def test_invalid_request_behind_a_valid_one_takes_no_answer(server, size, garbage):
    with server.connect() as connection:
        connection.sendall(post(large_body(size)) + garbage)
        assert statuses(connection, 2) == [200, 400]
        assert connection.recv(1) == b""


@pytest.mark.parametrize("pieces", [1, 2, 7, 100])
def test_pipelined_requests_are_answered_in_order(server, pieces):
    requests = [
        post(SMALL, PREDICT, "X-Request-Id: a"),
        chunked_head(INFER, "POST", "X-Request-Id: b") + chunked(V2, 3) + b"A: b\r\n\r\n",
        head(LIVE, 3, "GET", "X-Request-Id: c") + b"abc",
        post(b"{", PREDICT, "X-Request-Id: d"),
        post(large_body(100_000), PREDICT, "X-Request-Id: e"),
        chunked_head(LIVE, "GET") + chunked(b"") + b"\r\n",
        post(SMALL, PREDICT, "X-Request-Id: g", "Connection: close"),
    ]
    data = b"".join(requests)
    step = -(-len(data) // pieces)
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, len(data), step):
            connection.sendall(data[i : i + step])
        answers = connection.makefile("rb").read()
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200"] * 3 + [b"400"] + [b"200"] * 3
    assert re.findall(rb"x-request-id: (\w)\r", answers) == [b"a", b"b", b"c", b"d", b"e", b"g"]


def test_get_with_a_body_is_answered(server):
    for body in (b"{}", large_body(2**20)):
        assert server.send(head(LIVE, len(body), "GET") + body)[0] == 200
    assert server.send(chunked_head(LIVE, "GET") + chunked(SMALL) + b"\r\n")[0] == 200
    assert server.send(head(LIVE, 10**9, "GET"))[0] == 413


def test_upgrade_without_a_body_is_ignored(server):
    lines = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    with server.connect() as connection:
        connection.sendall(head(LIVE, 0, "GET", *lines) + post())
        assert statuses(connection, 2) == [200, 200]


def test_body_of_an_upgrade_is_no_request(server):
    """A proxy that ignores Upgrade sees one request, so there must be one answer."""
    lines = ("Connection: Upgrade", "Upgrade: h2c")
    hidden = head(LIVE, 0, "GET")
    with server.connect() as connection:
        connection.sendall(head(PREDICT, len(hidden), "POST", *lines) + hidden)
        assert read_response(connection)[0] == 400
        assert connection.recv(1) == b""


def test_expectation_is_met_by_100_or_by_the_refusal(server):
    with server.connect() as connection:
        connection.sendall(head(PREDICT, len(SMALL), "POST", "Expect: 100-continue"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(SMALL)
        assert read_response(connection)[0] == 200
        connection.sendall(head(PREDICT, 10**9, "POST", "Expect: 100-continue"))
        assert read_response(connection)[0] == 413
