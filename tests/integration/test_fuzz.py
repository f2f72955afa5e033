"""Fuzz the predictor with thousands of mutated requests over HTTP and gRPC.

Half of the HTTP requests are valid HTTP, on kept-alive connections, in pieces, chunks and with
trailers; those with a valid body must be answered. The other half have damaged bytes, each on a
connection of its own. The seeds are fixed.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from tests import fuzz
from tests.serving import MODEL_INFER, TEXTS, Server, serving

REQUESTS = 20_000
CALLS = 5_000
WARM_UP = 4_000
MAX_GROWTH = 30_000_000  # bytes of memory; a request may hold a megabyte, the model far more
SILENCE = 0.1  # seconds after which the server is taken to wait for the rest of a request


@pytest.fixture(scope="module")
def server(trained, tmp_path_factory) -> Iterator[Server]:
    """A predictor of version 7 that captures, all of whose events can be written."""
    directory = tmp_path_factory.mktemp("fuzz")
    flags = ["--model_version", "7", "--capture", str(directory / "captured")]
    with serving(trained.model, directory, *flags) as server:
        yield server
        samples = server.samples()
        for kind in ("capture", "feedback"):
            assert samples[f"model_{kind}_dropped_count_total", "not written"] == 0
    types = Counter(
        json.loads(line)["type"]
        for path in directory.rglob("captured/**/*.jsonl")
        for line in path.open()
    )
    assert min(types["sentiment.prediction"], types["sentiment.feedback"]) > 100


async def read(reader: asyncio.StreamReader, method: str) -> tuple[int, bytes, bool]:
    """Return the status and the body of a response, and whether it closes the connection."""
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
    assert case.status in (None, status), (status, body, case)
    if status >= 400 and case.method != "HEAD":
        assert list(json.loads(body)) == ["error"], (status, body, case.data[:2000])


async def write(writer: asyncio.StreamWriter, case: fuzz.Case, start: int, more: bytes) -> None:
    """Send a request from ``start`` in its pieces, the last with ``more`` behind it."""
    for cut in case.cuts:
        if cut > start:
            writer.write(case.data[start:cut])
            await asyncio.sleep(case.pause)
            start = cut
    writer.write(case.data[start:] + more)


async def send_on_one_connection(host, cases: Iterator[fuzz.Case], results: Counter) -> None:
    """Send one request after the other, and expect a response to each."""
    reader = writer = None
    sent, case = 0, next(cases, None)
    while case is not None:
        following = next(cases, None)
        more = following.first if following is not None else b""
        if writer is None:
            reader, writer = await asyncio.open_connection(*host)
            sent = 0
        await write(writer, case, sent, more)
        status, body, closes = await asyncio.wait_for(read(reader, case.method), 60)
        check(status, body, case)
        results[status] += 1
        results["valid"] += case.status is not None
        if closes:
            writer.close()
            writer = None
        sent, case = len(more), following
    if writer is not None:
        writer.close()


async def send_on_own_connections(host, cases: Iterable[fuzz.Case], results: Counter) -> None:
    """Send each request on its own connection; an incomplete request may get no response."""
    for case in cases:
        reader, writer = await asyncio.open_connection(*host)
        writer.write(case.data)
        try:
            status, body, _ = await asyncio.wait_for(read(reader, case.method), SILENCE)
            results[status] += 1
            check(status, body, case)
        except TimeoutError:
            results["waits"] += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            results["closed"] += 1
        writer.close()


def send(server, seed: int, count: int) -> Counter:
    """Send ``count`` requests, sixteen at a time, and count the results."""
    rng = random.Random(seed)
    valid = (fuzz.http_request(rng) for _ in range(count // 2))
    damaged = (fuzz.damaged_request(rng) for _ in range(count - count // 2))
    results: Counter = Counter()

    async def main() -> None:
        senders = [send_on_one_connection(server.host, valid, results) for _ in range(4)]
        senders += [send_on_own_connections(server.host, damaged, results) for _ in range(12)]
        await asyncio.gather(*senders)

    asyncio.run(main())
    assert results.total() - results["valid"] == count
    return results


def test_server_survives_20000_mutated_requests(server, offline):
    send(server, 1, WARM_UP)
    before = server.memory()
    results = send(server, 2, REQUESTS)
    growth = server.memory() - before
    print(f"\n{dict(results.most_common())}, {growth / 1e6:.1f} MB")
    assert results["valid"] > REQUESTS / 10
    assert results[200] > REQUESTS / 20  # some are still valid
    assert results[400] > REQUESTS / 4
    assert {404, 405, 413, 415} < set(results)
    assert growth < MAX_GROWTH
    assert [row["probability"] for row in server.predict(TEXTS)] == offline
    assert server.samples()[("app_requests_in_flight",)] == 0


def mutated_message(rng: random.Random) -> bytes:
    """Return a ModelInferRequest that is mutated from a valid one, as bytes."""
    contents = {"bytes_contents": [b"good", b"bad"]}
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "contents": contents}
    message = {"model_name": "sentiment", "inputs": [tensor], "outputs": [{"name": "label"}]}
    changes = [
        lambda: tensor.update(name=rng.choice(["", "other", "text" * 1000])),
        lambda: tensor.update(shape=rng.choice([[], [-1], [2**62], [1, 2], [0] * 1000])),
        lambda: tensor.update(datatype=rng.choice(["", "FP16", "INT8", "NONE", "bytes"])),
        lambda: contents.update(bytes_contents=[rng.randbytes(9)] * rng.choice([0, 2, 500])),
        lambda: contents.update(int_contents=[1, 2]),
        lambda: message.update(model_name=rng.choice(["", "other", "\x00"])),
        lambda: message.update(model_version=rng.choice(["7", "8"])),
        lambda: message.update(inputs=[tensor] * rng.choice([0, 2, 1000])),
        lambda: message.update(outputs=[{"name": rng.choice(["", "loss", "probability"])}]),
        lambda: message.update(raw_input_contents=[fuzz.damage(rng, fuzz.RAW, 1)]),
        lambda: (tensor.pop("contents"), message.update(raw_input_contents=[fuzz.RAW])),
        lambda: message.update(id=rng.choice(["", "x" * 10_000])),
    ]
    for change in rng.sample(changes, rng.randint(0, 2)):
        change()
    data = pb.ModelInferRequest(**message).SerializeToString()
    return fuzz.damage(rng, data, rng.choice([0, 0, 1, 2]))


def test_server_survives_5000_mutated_calls(server, offline):
    rng = random.Random(3)
    results: Counter = Counter()
    with grpc.insecure_channel(server.grpc) as channel:
        infer = channel.unary_unary(MODEL_INFER)
        for i in range(CALLS):
            message = mutated_message(rng)
            try:
                pb.ModelInferResponse.FromString(infer(message, timeout=60))
                results["OK"] += 1
            except grpc.RpcError as error:
                results[error.code().name] += 1
                assert error.details(), message
            if i == CALLS // 5:
                before = server.memory()
    growth = server.memory() - before
    print(f"\n{dict(results.most_common())}, {growth / 1e6:.1f} MB")
    assert set(results) == {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"}
    assert results["OK"] > CALLS / 20
    assert growth < MAX_GROWTH
    assert [row["probability"] for row in server.predict(TEXTS)] == offline
