"""Each mistake of a caller gets a status and a reason, in one shape, and is counted."""

import gzip
import json
import struct

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests.serving import INFER, JSON, MODEL_INFER, PREDICT, answer, head

TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}
OUTSIDE_V1 = [
    (b'{"instances": "text"}', '"instances" must be a list'),
    (b'{"instances": {}}', '"instances" must be a list'),
    (b'{"instances": null}', '"instances" must be a list'),
    (b'{"instances": []}', '"instances" must be a list'),
    (b"{}", '"instances" must be a list'),
    (b'{"instances": ["good", 5]}', "instances[1]"),
    (b'{"instances": ["good", true]}', "instances[1]"),
    (b'{"instances": [null]}', "instances[0]"),
    (b'{"instances": [["good"]]}', "instances[0]"),
    (b'{"instances": [{"body": "good"}]}', "instances[0]"),
    (b'{"instances": [{"text": ["good"]}]}', "instances[0]"),
    (b'{"instances": [1e999]}', "instances[0]"),
    (b'{"instances": ["\\ud800"]}', "not Unicode"),
    (b'{"instances": [{"text": "\\udc00\\ud800"}]}', "not Unicode"),
    (b'{"time": 1, "type": 1, "source": 1, "id": 1, "specversion": 1, "data": 1}', "JSON number"),
]
NO_JSON_OBJECT = [
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b'{"instances": ["good"]', "not JSON"),
    (b'{"instances": ["good"]} more', "not JSON"),
    (b"{'instances': ['good']}", "not JSON"),
    (b'\xef\xbb\xbf{"instances": ["good"]}', "not JSON"),
    (b'{"instances": ["\x00"]}', "not JSON"),
    (b'{"instances": ["\xff\xfe"]}', "not JSON"),
    (b'{"instances": ["\xed\xa0\x80"]}', "not JSON"),  # a surrogate in UTF-8
    ('{"instances": ["good"]}'.encode("utf-16"), "not JSON"),
    (b'{"instances": [NaN]}', "NaN"),
    (b'{"instances": [-Infinity]}', "Infinity"),
    (b'{"instances": [' + b"9" * 5000 + b"]}", "not JSON"),
    (b'{"instances": ["good"], "instances": ["bad"]}', "twice"),
    (b'{"instances": [{"text": "good", "te\\u0078t": "bad"}]}', "twice"),
    (b"[" * 100_000, "too deeply"),
    (b'{"a":' * 100_000, "too deeply"),
    (b"null", "JSON null"),
    (b"true", "JSON boolean"),
    (b"7", "JSON number"),
    (b'"text"', "JSON string"),
    (b"[]", "JSON array"),
    (gzip.compress(b'{"instances": ["good"]}', mtime=0), "not JSON"),
]


@pytest.mark.parametrize("headers", [JSON, {}], ids=["json", "curl"])
@pytest.mark.parametrize(("body", "word"), [*NO_JSON_OBJECT, *OUTSIDE_V1])
def test_v1_refuses_with_the_reason(server, headers, body, word):
    status, reason = server.refusal(PREDICT, body, headers)
    assert status == 400
    assert word in reason


@pytest.mark.parametrize("headers", [JSON, {}], ids=["json", "curl"])
@pytest.mark.parametrize(("body", "word"), NO_JSON_OBJECT)
def test_v2_refuses_what_is_no_object(server, headers, body, word):
    status, reason = server.refusal(INFER, body, headers)
    assert status == 400
    assert word in reason


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, '"inputs" must be a list'),
        ({"inputs": None}, '"inputs" must be a list'),
        ({"inputs": []}, '"inputs" must be a list'),
        ({"inputs": [TENSOR, TENSOR]}, '"inputs" must be a list'),
        ({"inputs": [5]}, '"inputs" must be a list'),
        ({"inputs": [{}]}, '"data"'),
        ({"inputs": [TENSOR | {"name": "other"}]}, '"text" of datatype BYTES'),
        ({"inputs": [TENSOR | {"name": ["text"]}]}, '"text" of datatype BYTES'),
        ({"inputs": [TENSOR | {"datatype": "INT32", "data": [1]}]}, '"text" of datatype BYTES'),
        ({"inputs": [TENSOR | {"datatype": None}]}, '"text" of datatype BYTES'),
        ({"inputs": [TENSOR | {"data": "good"}]}, '"data"'),
        ({"inputs": [TENSOR | {"data": None}]}, '"data"'),
        ({"inputs": [TENSOR | {"data": []}]}, "one value or more"),
        ({"inputs": [TENSOR | {"data": [], "shape": [0]}]}, "one value or more"),
        ({"inputs": [TENSOR | {"data": [1]}]}, "strings"),
        ({"inputs": [TENSOR | {"data": [["good"]]}]}, "strings"),
        ({"inputs": [TENSOR | {"data": ["\ud800"]}]}, "not Unicode"),
        ({"inputs": [TENSOR | {"shape": [2]}]}, "shape"),
        ({"inputs": [TENSOR | {"shape": [-1]}]}, "shape"),
        ({"inputs": [TENSOR | {"shape": [2**63]}]}, "shape"),
        ({"inputs": [TENSOR | {"shape": [10**400]}]}, "shape"),
        ({"inputs": [TENSOR | {"shape": [1, 1]}]}, "shape"),
        ({"inputs": [TENSOR | {"shape": []}]}, "shape"),
        ({"inputs": [TENSOR | {"shape": [1.0]}]}, "shape"),
        ({"inputs": [TENSOR | {"shape": [True]}]}, "shape"),
        ({"inputs": [TENSOR | {"shape": "1"}]}, "shape"),
        ({"inputs": [TENSOR | {"shape": None}]}, "shape"),
        ({"inputs": [TENSOR], "id": 5}, '"id"'),
        ({"inputs": [TENSOR], "id": "\ud800"}, '"id"'),
        ({"inputs": [TENSOR], "parameters": []}, '"parameters"'),
        ({"inputs": [TENSOR], "parameters": {"binary_data_output": 1}}, "binary_data_output"),
        ({"inputs": [TENSOR], "outputs": "label"}, '"outputs"'),
        ({"inputs": [TENSOR], "outputs": ["label"]}, '"outputs"'),
        ({"inputs": [TENSOR], "outputs": [{}]}, "label and probability"),
        ({"inputs": [TENSOR], "outputs": [{"name": "loss"}]}, "label and probability"),
        ({"inputs": [TENSOR], "outputs": [{"name": ["label"]}]}, "label and probability"),
        ({"inputs": [TENSOR], "outputs": [{"name": "label"}] * 2}, "once"),
        ({"inputs": [TENSOR], "outputs": [{"name": "label", "parameters": 1}]}, '"parameters"'),
    ],
)
def test_v2_refuses_with_the_reason(server, body, word):
    status, reason = server.refusal(INFER, json.dumps(body).encode(), JSON)
    assert status == 400
    assert word in reason


def binary(size: object, **changes) -> bytes:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES"}
    parameters = {"parameters": {"binary_data_size": size}}
    return json.dumps({"inputs": [tensor | parameters | changes]}).encode()


GOOD = struct.pack("<I", 4) + b"good"


@pytest.mark.parametrize(
    ("top", "raw", "length", "status"),
    [
        (binary(8), GOOD, None, 200),
        (binary(8), GOOD, 10**6, 400),
        (binary(8), GOOD, -1, 400),
        (binary(8), GOOD, "many", 400),
        (binary(8), GOOD, "9" * 5000, 400),
        (binary(8), GOOD, 0, 400),
        (binary(8), b"", None, 400),
        (binary(7), GOOD, None, 400),
        (binary("8"), GOOD, None, 400),
        (binary(None), GOOD, None, 400),
        (binary(8, data=["good"]), GOOD, None, 400),
        (binary(8, shape=[2]), GOOD, None, 400),
        (binary(8, datatype="FP32"), GOOD, None, 400),
        (binary(8, parameters=[]), GOOD, None, 400),
        (binary(7), GOOD[:-1], None, 400),
        (binary(3), GOOD[:3], None, 400),
        (binary(8), struct.pack("<I", 2**32 - 1) + b"good", None, 400),
        (binary(8), struct.pack("<I", 4) + b"\xff\xfe\xfd\xfc", None, 400),
        (binary(2000, shape=[500]), bytes(2000), None, 413),
    ],
)
def test_v2_checks_binary_tensors(server, top, raw, length, status):
    length = len(top) if length is None else length
    headers = {"inference-header-content-length": str(length)}
    if status == 200:
        assert server.ask(INFER, top + raw, headers)[0] == 200
    else:
        assert server.refusal(INFER, top + raw, headers)[0] == status


def test_paths_and_methods_that_are_not_there(server):
    body = b'{"instances": ["good"]}'
    assert server.refusal("/v1/models/other:predict", body) == (
        404,
        "Model with name other does not exist.",
    )
    assert server.refusal("/v1/models/other")[0] == 404
    assert server.refusal("/v2/models/other/infer", body)[0] == 404
    assert server.refusal("/v2/models/other")[0] == 404
    assert server.refusal("/v3/models")[0] == 404
    assert server.refusal(f"/v1/models/{'long' * 1000}")[0] == 404
    put = server.refusal(PREDICT, body, method="PUT")
    assert put == (405, f"PUT {PREDICT}: Method Not Allowed")
    assert server.refusal("/v2/health/live", body, method="DELETE")[0] == 405


def test_a_refusal_says_nothing_of_our_insides(server):
    for path in (PREDICT, INFER, "/nowhere"):
        for body in (b"{", b"[" * 100_000, b"\xff"):
            reason = server.refusal(path, body)[1]
            assert not any(word in reason for word in ("File", "line 2", ".py", "Error", "serving"))
            assert len(reason) <= 500


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_a_compressed_body_is_refused_unread(server, encoding):
    bomb = gzip.compress(b'{"instances": ["' + b" " * 50_000_000 + b'"]}')
    assert len(bomb) < 100_000
    status, reason = server.refusal(PREDICT, bomb, {"content-encoding": encoding})
    assert status == 415
    assert "compressed" in reason


def test_limits_hold_exactly_in_v1_and_v2(server):
    def both(texts: list[str]) -> tuple[int, int]:
        tensor = TENSOR | {"data": texts, "shape": [len(texts)]}
        v1 = server.ask(PREDICT, json.dumps({"instances": texts}).encode(), JSON)
        v2 = server.ask(INFER, json.dumps({"inputs": [tensor]}).encode(), JSON)
        return v1[0], v2[0]

    assert both(["x"] * 256) == (200, 200)
    assert both(["x"] * 257) == (413, 413)
    assert both(["x" * 100_000]) == (200, 200)
    assert both(["x" * 100_001]) == (413, 413)
    assert both(["x" * 100_000] * 5) == (200, 200)
    assert both(["x" * 100_000] * 5 + ["x"]) == (413, 413)
    assert both(["é" * 5000] * 32) == (200, 200)  # as json.dumps escapes them, six bytes each


def padded(size: int) -> bytes:
    body = b'{"instances": ["good"]}'
    return body + b" " * (size - len(body))


def test_the_limit_on_bytes_holds_exactly(server):
    assert server.ask(PREDICT, padded(2**20))[0] == 200
    status, reason = server.refusal(PREDICT, padded(2**20 + 1))
    assert (status, reason) == (413, "the body has more than 1048576 bytes")


def test_a_large_body_is_refused_before_it_is_sent(server):
    with server.connect() as connection:
        connection.sendall(head(PREDICT, 10**15))
        assert answer(connection)[0] == 413


def test_a_large_body_in_chunks_is_refused_on_the_way_and_never_kept(server):
    before = server.resident()
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with server.connect() as connection:
        connection.sendall(
            f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(17):  # the limit, and a chunk more
            connection.sendall(chunk)
        status, body, _ = answer(connection)
        assert status == 413
        assert "1048576" in json.loads(body)["error"]
        for _ in range(3000):  # 200 MB more, to who no longer listens
            connection.sendall(chunk)
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(1) == b""  # an end, and no reset
    assert server.resident() - before < 30_000_000


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
def test_what_is_no_http_gets_a_400_in_our_shape(server, request_bytes):
    with server.connect() as connection:
        connection.sendall(request_bytes)
        status, body, headers = answer(connection)
        assert status == 400
        assert headers["content-type"] == "application/json"
        assert list(json.loads(body)) == ["error"]


def test_a_head_without_end_is_refused(server):
    before = server.resident()
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Endless: ")
        with pytest.raises(OSError):
            for _ in range(10_000):
                connection.sendall(b"x" * 10_000)
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"X-Many: many\r\n" * 30_000)
        assert answer(connection)[0] == 431
    assert server.resident() - before < 30_000_000


def test_an_upgrade_with_a_body_is_refused(server):
    body = b'{"instances": ["good"]}'
    lines = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    with server.connect() as connection:
        connection.sendall(head(PREDICT, len(body), "POST", *lines) + body)
        status, reason, _ = answer(connection)
    assert status == 400
    assert b"without Upgrade" in reason


def test_a_sender_that_leaves_harms_nobody(server):
    for sent in (b"", b'{"instances"', b" " * 500_000):
        with server.connect() as connection:
            connection.sendall(head(PREDICT, 1_000_000) + sent)
    assert server.predict(["good"])
    server.wait_for_in_flight(0)


def test_refusals_are_counted_by_reason(server):
    def counts() -> dict[str, float]:
        reasons = ("invalid", "too_large", "compressed", "not_found", "not_allowed", "not_http")
        return {reason: server.refused(reason) for reason in reasons}

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
        answer(connection)
    gained = {reason: count - before[reason] for reason, count in counts().items()}
    expected = {"invalid": 2, "too_large": 2, "compressed": 1}
    assert gained == expected | {"not_found": 2, "not_allowed": 1, "not_http": 1}


def call(server, message: bytes, method: str = "ModelInfer") -> tuple[grpc.StatusCode, str]:
    """Send bytes as a gRPC message; return the status and the details of a refusal."""
    with grpc.insecure_channel(server.grpc) as channel:
        multi = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        with pytest.raises(grpc.RpcError) as caught:
            multi(message, timeout=60)
    return caught.value.code(), caught.value.details()


def message(**changes) -> bytes:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES"}
    contents = {"contents": {"bytes_contents": [b"good"]}}
    fields = {"model_name": "sentiment", "inputs": [tensor | contents]}
    return pb.ModelInferRequest(**(fields | changes)).SerializeToString()


def inputs(**changes) -> list[dict]:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES"}
    return [tensor | {"contents": {"bytes_contents": [b"good"]}} | changes]


BARE = [{"name": "text", "shape": [1], "datatype": "BYTES"}]
INVALID, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
STATUSES = {INVALID: "400", grpc.StatusCode.NOT_FOUND: "404", EXHAUSTED: "429"}


@pytest.mark.parametrize(
    ("sent", "code", "word"),
    [
        (b"\xff\xff\xff", INVALID, "type"),
        (b"", INVALID, "one input"),
        (message(inputs=[]), INVALID, "one input"),
        (message(inputs=inputs() * 2), INVALID, "one input"),
        (message(inputs=inputs() * 20_000), INVALID, "one input"),
        (message(inputs=inputs(name="other")), INVALID, "BYTES"),
        (message(inputs=inputs(datatype="FP32")), INVALID, "BYTES"),
        (message(inputs=inputs(datatype="NONE")), INVALID, "BYTES"),
        (message(inputs=inputs(shape=[-1])), INVALID, "shape"),
        (message(inputs=inputs(shape=[2**62])), INVALID, "shape"),
        (message(inputs=inputs(shape=[])), INVALID, "shape"),
        (message(inputs=inputs(shape=[1, 1])), INVALID, "shape"),
        (message(inputs=inputs(contents={})), INVALID, "one value"),
        (message(inputs=inputs(contents={"int_contents": [1]})), INVALID, "one value"),
        (message(inputs=inputs(contents={"bytes_contents": [b"\xff"]})), INVALID, "UTF-8"),
        (message(raw_input_contents=[GOOD]), INVALID, "once"),
        (message(inputs=BARE, raw_input_contents=[GOOD, GOOD]), INVALID, "once"),
        (message(inputs=BARE, raw_input_contents=[GOOD[:5]]), INVALID, "within a value"),
        (message(inputs=BARE, raw_input_contents=[b"\xff" * 4]), INVALID, "within a value"),
        (message(outputs=[{"name": "loss"}]), INVALID, "label and probability"),
        (message(outputs=[{"name": "label"}] * 2), INVALID, "once"),
        (message(model_name="other"), grpc.StatusCode.NOT_FOUND, "other"),
        (message(model_name=""), grpc.StatusCode.NOT_FOUND, "does not exist"),
        (message(model_version="8"), grpc.StatusCode.NOT_FOUND, "version 8"),
        (message(inputs=BARE, raw_input_contents=[bytes(4 * 257)]), EXHAUSTED, "256 reviews"),
        (
            message(inputs=inputs(contents={"bytes_contents": [b""] * 100_000})),
            EXHAUSTED,
            "256 reviews",
        ),
        (
            message(inputs=inputs(contents={"bytes_contents": [b"x" * 100_001]})),
            EXHAUSTED,
            "100000 characters",
        ),
        (message(id="x" * 2**20), EXHAUSTED, "larger than max"),
    ],
)
def test_grpc_gives_the_status_that_fits(server, sent, code, word):
    before = server.samples()
    found, details = call(server, sent)
    assert found == code, details
    assert word in details
    gained = server.gained(before)
    counted = {key[1:]: gained[key] for key in gained if key[0] == "app_request_count_total"}
    # gRPC itself refuses a message that is too large
    status = None if word == "larger than max" else STATUSES[code]
    assert counted.get((MODEL_INFER, "gRPC", status)) == (status and 1)
    assert {key[1] for key in counted} == ({"GET", "gRPC"} if status else {"GET"})
    assert gained.get(("app_request_latency_seconds_count", MODEL_INFER, "none")) == (status and 1)


def test_other_methods_of_grpc_give_the_status_that_fits(server):
    other = pb.ModelReadyRequest(name="other").SerializeToString()
    assert call(server, other, "ModelReady")[0] == grpc.StatusCode.NOT_FOUND
    assert call(server, other, "ModelMetadata")[0] == grpc.StatusCode.NOT_FOUND
    assert call(server, b"\xff", "ServerLive")[0] == INVALID
    assert call(server, b"", "Nothing")[0] == grpc.StatusCode.UNIMPLEMENTED
