"""Errors over HTTP: each has a status and a reason in one shape, and is counted."""

import gzip
import json
import urllib.error
import urllib.request

import pytest

from tests.serving import EXPLAIN, FEEDBACK, INFER, PREDICT, head, read_response


def test_unknown_path_or_method_is_refused(server):
    body = b'{"instances": ["good"]}'
    unknown = server.refusal("/v1/models/other:predict", body)
    assert unknown == (404, "Model with name other does not exist.")
    assert server.refusal("/v1/models/other")[0] == 404
    assert server.refusal("/v2/models/other/infer", body)[0] == 404
    assert server.refusal("/v2/models/other")[0] == 404
    assert server.refusal("/v3/models")[0] == 404
    assert server.refusal(f"/v1/models/{'long' * 1000}")[0] == 404
    put = server.refusal(PREDICT, body, method="PUT")
    assert put == (405, f"PUT {PREDICT}: Method Not Allowed")
    assert server.refusal("/v2/health/live", body, method="DELETE")[0] == 405


@pytest.mark.parametrize("path", [PREDICT, EXPLAIN, FEEDBACK, INFER])
def test_other_methods_of_a_verb_are_refused_with_the_allowed_one(server, path):
    for method in ("GET", "OPTIONS"):
        request = urllib.request.Request(server.address + path, method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == 405
        assert refused.value.headers["allow"] == "POST"


def test_refusal_shows_no_internals(server):
    for path in (PREDICT, INFER, "/nowhere"):
        for body in (b"{", b"[" * 100_000, b"\xff"):
            reason = server.refusal(path, body)[1]
            for word in ("File", "line 2", ".py", "Error", "serving"):
                assert word not in reason
            assert len(reason) <= 500


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_compressed_body_is_refused(server, encoding):
    bomb = gzip.compress(b'{"instances": ["' + b" " * 50_000_000 + b'"]}')
    assert len(bomb) < 100_000
    status, reason = server.refusal(PREDICT, bomb, {"content-encoding": encoding})
    assert status == 415
    assert "compressed" in reason


def padded(size: int) -> bytes:
    body = b'{"instances": ["good"]}'
    return body + b" " * (size - len(body))


def test_limit_on_body_bytes_is_exact(server):
    assert server.ask(PREDICT, padded(2**20))[0] == 200
    status, reason = server.refusal(PREDICT, padded(2**20 + 1))
    assert status == 413
    assert reason == "the body has more than 1048576 bytes"


def test_large_body_is_refused_by_its_head(server):
    with server.connect() as connection:
        connection.sendall(head(PREDICT, 10**15))
        assert read_response(connection)[0] == 413


def test_large_chunked_body_is_refused(server):
    before = server.memory()
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with server.connect() as connection:
        connection.sendall(
            f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(17):  # the limit, and a chunk more
            connection.sendall(chunk)
        status, body, _ = read_response(connection)
        assert status == 413
        assert "1048576" in json.loads(body)["error"]
        for _ in range(3000):  # 200 MB more, which the server drops
            connection.sendall(chunk)
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(1) == b""  # closed, not reset
    assert server.memory() - before < 30_000_000


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        head(PREDICT, "many"),
        head(PREDICT, -5),
        head(PREDICT, "5, 6"),
        head(PREDICT, 5, "POST", "Content-Length: 6"),
        head(PREDICT, 5, "POST", "Transfer-Encoding: chunked"),
        b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_invalid_http_is_answered_with_400(server, request_bytes):
    with server.connect() as connection:
        connection.sendall(request_bytes)
        status, body, headers = read_response(connection)
        assert status == 400
        assert headers["content-type"] == "application/json"
        assert list(json.loads(body)) == ["error"]


def test_head_without_end_is_refused(server):
    before = server.memory()
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Endless: ")
        with pytest.raises(OSError):
            for _ in range(10_000):
                connection.sendall(b"x" * 10_000)
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"X-Many: many\r\n" * 30_000)
        assert read_response(connection)[0] == 431
    assert server.memory() - before < 30_000_000


def test_upgrade_with_a_body_is_refused(server):
    body = b'{"instances": ["good"]}'
    lines = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    with server.connect() as connection:
        connection.sendall(head(PREDICT, len(body), "POST", *lines) + body)
        status, reason, _ = read_response(connection)
    assert status == 400
    assert b"without Upgrade" in reason


def test_client_may_leave_during_its_body(server):
    for sent in (b"", b'{"instances"', b" " * 500_000):
        with server.connect() as connection:
            connection.sendall(head(PREDICT, 1_000_000) + sent)
    assert server.predict(["good"])
    server.wait_for_in_flight(0)


def test_refusals_are_counted_by_reason(server):
    def counts() -> dict[str, float]:
        reasons = ("invalid", "too_large", "compressed", "not_found", "not_allowed", "not_http")
        return {reason: server.rejected(reason) for reason in reasons}

    before = counts()
    server.refusal(PREDICT, b"{}")
    server.refusal(INFER, b"{}")
    server.refusal(PREDICT, padded(2**20 + 1))
    server.refusal(PREDICT, json.dumps({"instances": ["x"] * 257}).encode())
    server.refusal(PREDICT, b"{}", {"content-encoding": "gzip"})
    server.refusal("/v1/models/other")
    server.refusal("/nowhere")
    server.refusal(PREDICT, b"{}", method="PUT")
    with server.connect() as connection:
        connection.sendall(b"GARBAGE\r\n\r\n")
        read_response(connection)
    increases = {reason: count - before[reason] for reason, count in counts().items()}
    expected = {"invalid": 2, "too_large": 2, "compressed": 1}
    assert increases == expected | {"not_found": 2, "not_allowed": 1, "not_http": 1}
