"""v1 and v2 bodies: what the predictor refuses, with which reason."""

import gzip
import json
import struct

import pytest

from tests.serving import INFER, JSON, PREDICT

TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}
NOT_V1 = [
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
    (b'{"type": 1, "source": 1, "id": 1, "specversion": 1, "data": 1}', '"specversion"'),
    (b'{"type": "t", "source": "s", "id": "1", "specversion": "1.0", "data": 1}', "JSON number"),
]
NOT_AN_OBJECT = [
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
@pytest.mark.parametrize(("body", "word"), [*NOT_AN_OBJECT, *NOT_V1])
def test_v1_refusal_names_the_reason(server, headers, body, word):
    status, reason = server.refusal(PREDICT, body, headers)
    assert status == 400
    assert word in reason


@pytest.mark.parametrize("headers", [JSON, {}], ids=["json", "curl"])
@pytest.mark.parametrize(("body", "word"), NOT_AN_OBJECT)
def test_v2_refuses_bodies_that_are_no_object(server, headers, body, word):
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
        ({"inputs": [TENSOR | {"shape": [1, 2]}]}, "shape"),
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
        ({"inputs": [TENSOR], "outputs": [{}]}, "label, probabilities, probability"),
        ({"inputs": [TENSOR], "outputs": [{"name": "loss"}]}, "label, probabilities, probability"),
        (
            {"inputs": [TENSOR], "outputs": [{"name": ["label"]}]},
            "label, probabilities, probability",
        ),
        ({"inputs": [TENSOR], "outputs": [{"name": "label"}] * 2}, "once"),
        ({"inputs": [TENSOR], "outputs": [{"name": "label", "parameters": 1}]}, '"parameters"'),
    ],
)
def test_v2_refusal_names_the_reason(server, body, word):
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


def test_limits_on_reviews_are_exact(server):
    def statuses(texts: list[str]) -> tuple[int, int]:
        tensor = TENSOR | {"data": texts, "shape": [len(texts)]}
        v1 = server.ask(PREDICT, json.dumps({"instances": texts}).encode(), JSON)
        v2 = server.ask(INFER, json.dumps({"inputs": [tensor]}).encode(), JSON)
        return v1[0], v2[0]

    assert statuses(["x"] * 256) == (200, 200)
    assert statuses(["x"] * 257) == (413, 413)
    assert statuses(["x" * 100_000]) == (200, 200)
    assert statuses(["x" * 100_001]) == (413, 413)
    assert statuses(["x" * 100_000] * 5) == (200, 200)
    assert statuses(["x" * 100_000] * 5 + ["x"]) == (413, 413)
    assert statuses(["é" * 5000] * 32) == (200, 200)  # as json.dumps escapes them, six bytes each
