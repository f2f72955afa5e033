"""Generate requests by mutating valid ones."""

import copy
import json
import random
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.serving import EXPLAIN, FEEDBACK, INFER, PREDICT, head

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2.5, 1e300, 2**63, 10**400, float("nan"), float("-inf")),
    *("", "good", "text", "BYTES", "FP32", "\ud800", "\x00", "é😀", "9" * 50, "x" * 100_001),
    *([], {}, [[]], ["good"], [1], [-1], [2**62], ["good"] * 300, {"text": "good"}, {"": None}),
    *({"binary_data_size": 4}, {"binary_data_output": True}, [{"name": "label"}], [{}] * 2),
]
V1 = {"instances": ["good", {"text": "bad", "id": 1}]}
TENSOR = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["good", "bad"]}
V2 = {"id": "1", "inputs": [TENSOR], "outputs": [{"name": "label"}], "parameters": {}}
EXPLAIN_BODY = V1 | {"parameters": {"top": 2, "tokens": True}}
FEEDBACK_BODY = {"feedback": [{"id": "a", "index": 1, "label": "positive", "by": "me"}] * 2}
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
EVENT_TYPE = "Content-Type: application/cloudevents+json"  # of bodies that are events only
ATTRIBUTES = "ce-id: 1\r\nce-source: s\r\nce-type: t"
HEADERS = [
    *("Content-Type: text/plain", "Content-Type: application/json", "Content-Type: multipart/x"),
    *("Content-Type:", "Content-Type: ;", "Content-Type: application/x+json; charset=x"),
    *(EVENT_TYPE, "ce-contenttype: json", "ce-id: 1"),
    *(f"{ATTRIBUTES}\r\nce-specversion: 1.0", f"{ATTRIBUTES}\r\nce-specversion: 9"),
    f"{ATTRIBUTES}\r\nce-specversion: 1.0\r\nce-time: x\r\nce-x: \xe9\r\nce-contenttype: x",
    *("Content-Encoding: gzip", "Content-Encoding: identity", "Accept: nothing", "Range: bytes=5-"),
    *("Inference-Header-Content-Length: 5", "Inference-Header-Content-Length: x", "X: \xff"),
    *("Connection: upgrade\r\nUpgrade: h2c", "Connection: upgrade\r\nUpgrade: websocket"),
    *("Expect: 100-continue", "Expect: miracles", "X-Long: " + "x" * 9000, "Cookie: a=b; ;;"),
    *(
        "X-Request-Id: mine",
        "X-Request-Id: \xff",
        "X-Request-Id: " + "x" * 500,
        "X-Request-Id: a b",
    ),
    *("Content-Length: 3", "Transfer-Encoding: gzip"),  # not for requests that must stay HTTP
]
HARMFUL = ("ce-", "Connection:", "Content-Encoding:", "Inference-", EVENT_TYPE)
HARMLESS = [line for line in HEADERS[:-2] if not line.startswith(HARMFUL)]
PIECES = [0] * 20 + [1, 2, 5] * 6 + [40]  # after the first; by forty, the sender is slow
TRAILERS = [
    *("Inference-Header-Content-Length: 5", "X-Request-Id: trailer", "X-Long: " + "x" * 9000),
    *("Connection: close", "Connection: upgrade\r\nUpgrade: h2c", "Expect: 100-continue"),
    *("Content-Encoding: gzip", "Host: other", "Trailer:", "ce-id: 1", *(["A: b"] * 3)),
]


@dataclass(frozen=True)
class Case:
    """A request, and how it is sent: in pieces, the first with the end of the one before it."""

    data: bytes
    method: str = "POST"
    status: int | None = None  # of the response, where the request is known to be valid
    cuts: tuple[int, ...] = ()  # where the pieces begin
    pause: float = 0.0  # seconds before each piece

    @property
    def first(self) -> bytes:
        return self.data[: self.cuts[0]] if self.cuts else b""


def http_request(rng: random.Random) -> Case:
    """Return a request that is valid HTTP; its body may be mutated."""
    method, status = "POST", None
    if rng.random() < 0.3:
        path, body, lines = _valid_body(rng)
        status = 202 if path == FEEDBACK else 200
        lines += rng.sample(HARMLESS, rng.choice([0, 0, 1]))
    else:
        path, body, lines = _body(rng)
        if rng.random() < 0.1:
            path = rng.choice(PATHS)
        if rng.random() < 0.05:
            method = rng.choice(METHODS[:6])
        if rng.random() < 0.3:
            lines.append(rng.choice(HEADERS[:-2]))
    data = _framed(rng, path, body, method, lines)
    cuts = sorted(rng.sample(range(1, len(data)), rng.choice(PIECES)))
    pause = rng.choice([0, 0, 0.001, 0.01]) if cuts else 0
    return Case(data, method, status, tuple(cuts), pause)


def _framed(
    rng: random.Random, path: str, body: bytes, method: str = "POST", lines: Sequence[str] = ()
) -> bytes:
    """Return a request whose body has a length or comes in chunks, perhaps with trailers."""
    if rng.random() < 0.7:
        return head(path, len(body), method, *lines) + body
    size = max(rng.choice([1, 7, 100, 10**6]), len(body) // 200)
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    data = b"".join(_chunk(rng, chunk) + chunk + b"\r\n" for chunk in chunks) + _chunk(rng, b"")
    trailers = rng.sample(TRAILERS, rng.choice([0, 0, 1, 3]))
    end = "".join(f"{line}\r\n" for line in trailers) + "\r\n"
    top = head(path, 0, method, *lines)
    top = top.replace(b"\r\nContent-Length: 0", b"\r\nTransfer-Encoding: chunked")
    return top + data + end.encode()


def _chunk(rng: random.Random, chunk: bytes) -> bytes:
    """Return the line before a chunk."""
    zeros = "0" * rng.choice([0, 0, 0, 9])
    extension = rng.choice(["", "", "", ";a=b", ';a="b;"'])
    return f"{zeros}{len(chunk):x}{extension}\r\n".encode()


def damaged_request(rng: random.Random) -> Case:
    """Return a request with damaged bytes, in its head too."""
    path, body, lines = _body(rng)
    size = rng.choice([len(body)] * 20 + [len(body) + 5, 10**6, 10**30, -1, "x", ""])
    method = rng.choice(["POST"] * 40 + METHODS)
    path = rng.choice([path] * 40 + PATHS)
    lines += rng.sample(HEADERS, rng.choice([0, 0, 0, 1]))
    data = head(path, size, method, *lines) + body[:1000]
    if rng.random() < 0.2:
        data = _framed(rng, path, body[:1000], method, lines)
    data = damage(rng, data, rng.choice([0, 1, 1, 2, 4]))
    return Case(data, "HEAD" if data.lstrip().startswith(b"HEAD ") else "POST")


KINDS = ["v1", "v1", "explain", "v2", "v2", "binary", "event", "feedback"]
BINARY = {k: v for k, v in TENSOR.items() if k != "data"}
BINARY["parameters"] = {"binary_data_size": len(RAW)}


def _valid_body(rng: random.Random) -> tuple[str, bytes, list[str]]:
    kind = rng.choice(KINDS)
    if kind == "binary":
        top = json.dumps({"inputs": [BINARY]}).encode()
        return INFER, top + RAW, [f"Inference-Header-Content-Length: {len(top)}"]
    path, valid = _kind(rng, kind)
    spaces = b" \r\n\r\n " * rng.choice([0, 0, 1, 10, 20_000])  # as behind a head
    return path, json.dumps(valid).encode() + spaces, []


def _kind(rng: random.Random, kind: str) -> tuple[str, dict[str, Any]]:
    return {
        "v1": (PREDICT, V1),
        "explain": (EXPLAIN, EXPLAIN_BODY),
        "v2": (INFER, V2),
        "feedback": (FEEDBACK, FEEDBACK_BODY),
        "event": (rng.choice([PREDICT, EXPLAIN]), EVENT),
    }[kind]


def _body(rng: random.Random) -> tuple[str, bytes, list[str]]:
    kind = rng.choice(KINDS)
    if kind == "binary":
        top = _dump(rng, _mutated(rng, {"inputs": [BINARY]}, rng.randint(0, 2)))
        raw = damage(rng, RAW, rng.randint(0, 2))
        length = rng.choice([len(top)] * 6 + [0, -1, len(top) + 3, 10**9, "x"])
        return INFER, top + raw, [f"Inference-Header-Content-Length: {length}"]
    path, valid = _kind(rng, kind)
    body = _dump(rng, _mutated(rng, valid, rng.randint(0, 3)))
    return path, damage(rng, body, rng.randint(0, 1)), []


def _dump(rng: random.Random, value: Any) -> bytes:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(5_000)  # three changes nest up to 1,200 levels
    try:
        text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    finally:
        sys.setrecursionlimit(limit)
    encoding = "utf-8" if rng.random() < 0.95 else "utf-16"
    return text.encode(encoding, "surrogatepass")


def _mutated(rng: random.Random, value: Any, times: int) -> Any:
    """Return a copy with values replaced, removed, wrapped or nested."""
    root = [copy.deepcopy(value)]
    for _ in range(times):
        locations = list(_locations(root))
        container, key = rng.choice(locations)
        change = rng.random()
        if change < 0.6:
            container[key] = copy.deepcopy(rng.choice(VALUES))
        elif change < 0.75 and len(locations) > 1 and container is not root:
            del container[key]
        elif change < 0.9:
            container[key] = [container[key]] * rng.randint(1, 3)
        else:
            for _ in range(rng.choice([1, 10, 400])):
                container[key] = {"text": container[key]}
    return root[0] if root else None


def _locations(root: Any):
    """Yield each container below ``root`` with each key or index of a value in it."""
    stack = [root]
    while stack:
        container = stack.pop()
        for key in (
            list(container) if isinstance(container, dict) else range(min(len(container), 5))
        ):
            yield container, key
            if isinstance(container[key], dict | list):
                stack.append(container[key])


def damage(rng: random.Random, data: bytes, times: int) -> bytes:
    """Return a copy with bytes changed, inserted, removed, repeated or cut off."""
    damaged = bytearray(data)
    for _ in range(times):
        at = rng.randint(0, len(damaged))
        change = rng.randint(0, 5)
        if change == 0 and at < len(damaged):
            damaged[at] = rng.randint(0, 255)
        elif change == 1:
            damaged[at:at] = rng.randbytes(rng.choice([1, 4, 50]))
        elif change == 2:
            del damaged[at : at + rng.choice([1, 2, 20])]
        elif change == 3:
            damaged[at:at] = damaged[at : at + 30] * rng.choice([1, 3])
        elif change == 4:
            del damaged[at:]
        else:
            damaged[at:at] = rng.choice(
                [b"\r\n", b"\r\n\r\n", b"\x00", b"[" * 3000, b'{"a":' * 900]
            )
    return bytes(damaged)
