"""Requests that were good until something happened to them."""

import copy
import json
import random
import struct
from dataclasses import dataclass
from typing import Any

from tests.serving import EXPLAIN, INFER, PREDICT, head

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2.5, 1e300, 2**63, 10**400, float("nan"), float("-inf")),
    *("", "good", "text", "BYTES", "FP32", "\ud800", "\x00", "é😀", "9" * 50, "x" * 100_001),
    *([], {}, [[]], ["good"], [1], [-1], [2**62], ["good"] * 300, {"text": "good"}, {"": None}),
    *({"binary_data_size": 4}, {"binary_data_output": True}, [{"name": "label"}], [{}] * 2),
]
V1 = {"instances": ["good", {"text": "bad", "id": 1}]}
TENSOR = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["good", "bad"]}
V2 = {"id": "1", "inputs": [TENSOR], "outputs": [{"name": "label"}], "parameters": {}}
WHY = V1 | {"parameters": {"top": 2, "tokens": True}}
EVENT = {"specversion": "1.0", "source": "s", "type": "t", "id": "1", "time": "now", "data": V1}
RAW = b"".join(struct.pack("<I", len(text)) + text for text in (b"good", b"bad"))
METHODS = ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW", "post", ""]
PATHS = [
    *("/", "/metrics", "/v1/models", "/v2", "/v2/health/live", "/v2/health/ready", "/v9", "//"),
    *("/v1/models/other:predict", "/v2/models/other/infer", "/v1/models/:predict", "/v2/models/"),
    *("/v1/models/sentiment:predict/", "/v1/models/%73entiment:predict", "/v1/models/%00:predict"),
    *("/v2/models/sentiment/versions/7/infer", "/v2/models/sentiment/versions/%ff/infer"),
    *("/v2/models/sentiment/ready", "/openapi.json", "/..%2f..%2fetc/passwd", "/" + "a" * 5000),
    *("http://other/v2", f"{PREDICT}?a=b&%zz", f"{INFER}#part", "*", "no/slash", "/é", "/\xff"),
]
ATTRIBUTES = "ce-id: 1\r\nce-source: s\r\nce-type: t"
HEADERS = [
    *("Content-Type: text/plain", "Content-Type: application/json", "Content-Type: multipart/x"),
    *("Content-Type:", "Content-Type: ;", "Content-Type: application/x+json; charset=x"),
    *("Content-Type: application/cloudevents+json", "ce-contenttype: json", "ce-id: 1"),
    *(f"{ATTRIBUTES}\r\nce-specversion: 1.0", f"{ATTRIBUTES}\r\nce-specversion: 9"),
    f"{ATTRIBUTES}\r\nce-specversion: 1.0\r\nce-time: x\r\nce-x: \xe9\r\nce-contenttype: x",
    *("Content-Encoding: gzip", "Content-Encoding: identity", "Accept: nothing", "Range: bytes=5-"),
    *("Inference-Header-Content-Length: 5", "Inference-Header-Content-Length: x", "X: \xff"),
    *("Connection: upgrade\r\nUpgrade: h2c", "Connection: upgrade\r\nUpgrade: websocket"),
    *("Expect: 100-continue", "Expect: miracles", "X-Long: " + "x" * 9000, "Cookie: a=b; ;;"),
    *("Content-Length: 3", "Transfer-Encoding: gzip"),  # not in a request that is to be whole
]


@dataclass(frozen=True)
class Case:
    data: bytes
    method: str = "POST"


def whole(chance: random.Random) -> Case:
    """Return a request that is HTTP, with a body of the length that it says."""
    path, body, lines = _body(chance)
    method = "POST"
    if chance.random() < 0.1:
        path = chance.choice(PATHS)
    if chance.random() < 0.05:
        method = chance.choice(METHODS[:6])
    if chance.random() < 0.3:
        lines.append(chance.choice(HEADERS[:-2]))
    return Case(head(path, len(body), method, *lines) + body, method)


def broken(chance: random.Random) -> Case:
    """Return a request whose bytes, head and all, were damaged on the way."""
    path, body, lines = _body(chance)
    size = chance.choice([len(body)] * 20 + [len(body) + 5, 10**6, 10**30, -1, "x", ""])
    method = chance.choice(["POST"] * 40 + METHODS)
    path = chance.choice([path] * 40 + PATHS)
    lines += chance.sample(HEADERS, chance.choice([0, 0, 0, 1]))
    data = head(path, size, method, *lines) + body[:1000]
    return Case(damaged(chance, data, chance.choice([0, 1, 1, 2, 4])))


def _body(chance: random.Random) -> tuple[str, bytes, list[str]]:
    kind = chance.choice(["v1", "v1", "why", "v2", "v2", "binary", "event"])
    if kind == "binary":
        tensor = {k: v for k, v in TENSOR.items() if k != "data"}
        tensor["parameters"] = {"binary_data_size": len(RAW)}
        top = _dump(chance, _changed(chance, {"inputs": [tensor]}, chance.randint(0, 2)))
        raw = damaged(chance, RAW, chance.randint(0, 2))
        length = chance.choice([len(top)] * 6 + [0, -1, len(top) + 3, 10**9, "x"])
        return INFER, top + raw, [f"Inference-Header-Content-Length: {length}"]
    path, good = {
        "v1": (PREDICT, V1),
        "why": (EXPLAIN, WHY),
        "v2": (INFER, V2),
        "event": (chance.choice([PREDICT, EXPLAIN]), EVENT),
    }[kind]
    body = _dump(chance, _changed(chance, good, chance.randint(0, 3)))
    return path, damaged(chance, body, chance.randint(0, 1)), []


def _dump(chance: random.Random, value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=chance.random() < 0.5)
    encoding = "utf-8" if chance.random() < 0.95 else "utf-16"
    return text.encode(encoding, "surrogatepass")


def _changed(chance: random.Random, value: Any, times: int) -> Any:
    """Return a copy with values replaced, removed, wrapped or deep inside others."""
    root = [copy.deepcopy(value)]
    for _ in range(times):
        spots = list(_spots(root))
        holder, key = chance.choice(spots)
        change = chance.random()
        if change < 0.6:
            holder[key] = copy.deepcopy(chance.choice(VALUES))
        elif change < 0.75 and len(spots) > 1 and holder is not root:
            del holder[key]
        elif change < 0.9:
            holder[key] = [holder[key]] * chance.randint(1, 3)
        else:
            for _ in range(chance.choice([1, 10, 400])):
                holder[key] = {"text": holder[key]}
    return root[0] if root else None


def _spots(holder: Any):
    """Yield each place below ``holder`` that holds a value."""
    stack = [holder]
    while stack:
        found = stack.pop()
        for key in list(found) if isinstance(found, dict) else range(min(len(found), 5)):
            yield found, key
            if isinstance(found[key], dict | list):
                stack.append(found[key])


def damaged(chance: random.Random, data: bytes, times: int) -> bytes:
    """Return bytes with some changed, inserted, removed, repeated or cut off."""
    damaged = bytearray(data)
    for _ in range(times):
        at = chance.randint(0, len(damaged))
        change = chance.randint(0, 5)
        if change == 0 and at < len(damaged):
            damaged[at] = chance.randint(0, 255)
        elif change == 1:
            damaged[at:at] = chance.randbytes(chance.choice([1, 4, 50]))
        elif change == 2:
            del damaged[at : at + chance.choice([1, 2, 20])]
        elif change == 3:
            damaged[at:at] = damaged[at : at + 30] * chance.choice([1, 3])
        elif change == 4:
            del damaged[at:]
        else:
            damaged[at:at] = chance.choice(
                [b"\r\n", b"\r\n\r\n", b"\x00", b"[" * 3000, b'{"a":' * 900]
            )
    return bytes(damaged)
