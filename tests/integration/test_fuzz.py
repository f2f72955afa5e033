"""Thousands of broken requests, over HTTP and gRPC: none breaks the server.

Half of those over HTTP arrive whole, on connections that are kept alive; half are damaged as HTTP,
each on a connection of its own. The seeds are fixed.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterable

import grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests import fuzz
from tests.serving import TEXTS

REQUESTS = 20_000
CALLS = 5_000
WARM_UP = 4_000
GROWTH = 30_000_000  # bytes; one request may hold a megabyte, and most of memory is the model
SILENCE = 0.1  # seconds after which a broken request is taken for one that waits for its rest


async def read(reader: asyncio.StreamReader, method: str) -> tuple[int, bytes, bool]:
    """Return the status and the body of an answer, and whether the connection ends with it."""
    top = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(top.split(" ")[1])
    if status == 100:
        return await read(reader, method)
    headers = dict(line.split(": ", 1) for line in top.split("\r\n")[1:-2])
    body = b""
    if method != "HEAD" and "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif method != "HEAD":
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    return status, body, headers.get("connection") == "close"


def check(status: int, body: bytes, case: fuzz.Case) -> None:
    assert 200 <= status < 500, (status, body, case.data[:2000])
    if status >= 400 and case.method != "HEAD":
        assert list(json.loads(body)) == ["error"], (status, body, case.data[:2000])


async def send_whole(host, cases: Iterable[fuzz.Case], came: Counter) -> None:
    """Send one request after the other; each gets its answer."""
    reader = writer = None
    for case in cases:
        if writer is None:
            reader, writer = await asyncio.open_connection(*host)
        writer.write(case.data)
        status, body, closes = await asyncio.wait_for(read(reader, case.method), 60)
        check(status, body, case)
        came[status] += 1
        if closes:
            writer.close()
            writer = None
    if writer is not None:
        writer.close()


async def send_broken(host, cases: Iterable[fuzz.Case], came: Counter) -> None:
    """Send each request on its own connection; what is no whole request may get no answer."""
    for case in cases:
        reader, writer = await asyncio.open_connection(*host)
        writer.write(case.data)
        try:
            status, body, _ = await asyncio.wait_for(read(reader, case.method), SILENCE)
            came[status] += 1
            check(status, body, case)
        except TimeoutError:
            came["waits"] += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            came["closed"] += 1
        writer.close()


def send(server, seed: int, count: int) -> Counter:
    """Send ``count`` requests by sixteen senders at a time and count what came of them."""
    chance = random.Random(seed)
    whole = (fuzz.whole(chance) for _ in range(count // 2))
    broken = (fuzz.broken(chance) for _ in range(count - count // 2))
    came: Counter = Counter()

    async def main() -> None:
        senders = [send_whole(server.host, whole, came) for _ in range(4)]
        senders += [send_broken(server.host, broken, came) for _ in range(12)]
        await asyncio.gather(*senders)

    asyncio.run(main())
    assert came.total() == count
    return came


def test_twenty_thousand_requests_break_nothing(server, offline):
    send(server, 1, WARM_UP)
    before = server.resident()
    came = send(server, 2, REQUESTS)
    growth = server.resident() - before
    print(f"\n{dict(came.most_common())}, {growth / 1e6:.1f} MB")
    assert came[200] > REQUESTS / 20  # some are still good
    assert came[400] > REQUESTS / 4
    assert {404, 405, 413, 415} < set(came)
    assert growth < GROWTH
    assert [row["probability"] for row in server.predict(TEXTS)] == offline
    assert server.samples()[("app_requests_in_flight",)] == 0


def call(chance: random.Random) -> bytes:
    """Return a message of gRPC that was good until something happened to it."""
    contents = {"bytes_contents": [b"good", b"bad"]}
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "contents": contents}
    message = {"model_name": "sentiment", "inputs": [tensor], "outputs": [{"name": "label"}]}
    changes = [
        lambda: tensor.update(name=chance.choice(["", "other", "text" * 1000])),
        lambda: tensor.update(shape=chance.choice([[], [-1], [2**62], [1, 2], [0] * 1000])),
        lambda: tensor.update(datatype=chance.choice(["", "FP16", "INT8", "NONE", "bytes"])),
        lambda: contents.update(bytes_contents=[chance.randbytes(9)] * chance.choice([0, 2, 500])),
        lambda: contents.update(int_contents=[1, 2]),
        lambda: message.update(model_name=chance.choice(["", "other", "\x00"])),
        lambda: message.update(model_version=chance.choice(["7", "8"])),
        lambda: message.update(inputs=[tensor] * chance.choice([0, 2, 1000])),
        lambda: message.update(outputs=[{"name": chance.choice(["", "loss", "probability"])}]),
        lambda: message.update(raw_input_contents=[fuzz.damaged(chance, fuzz.RAW, 1)]),
        lambda: (tensor.pop("contents"), message.update(raw_input_contents=[fuzz.RAW])),
        lambda: message.update(id=chance.choice(["", "x" * 10_000])),
    ]
    for change in chance.sample(changes, chance.randint(0, 2)):
        change()
    data = pb.ModelInferRequest(**message).SerializeToString()
    return fuzz.damaged(chance, data, chance.choice([0, 0, 1, 2]))


def test_thousands_of_calls_break_nothing(server, offline):
    chance = random.Random(3)
    came: Counter = Counter()
    with grpc.insecure_channel(server.grpc) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for i in range(CALLS):
            message = call(chance)
            try:
                pb.ModelInferResponse.FromString(infer(message, timeout=60))
                came["OK"] += 1
            except grpc.RpcError as error:
                came[error.code().name] += 1
                assert error.details(), message
            if i == CALLS // 5:
                before = server.resident()
    growth = server.resident() - before
    print(f"\n{dict(came.most_common())}, {growth / 1e6:.1f} MB")
    assert set(came) == {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"}
    assert came["OK"] > CALLS / 20
    assert growth < GROWTH
    assert [row["probability"] for row in server.predict(TEXTS)] == offline
