"""The middleware of long requests, with clients that take a response slowly or not at all."""

import asyncio

import pytest
from starlette.responses import Response
from starlette.types import Message

from serving.errors import OverloadError
from serving.http.long_requests import LARGE_EXPLANATIONS, LongRequests
from serving.in_flight import SMALL_BODY, InFlight
from serving.limits import RequestLimits

SCOPE = {"type": "http", "method": "POST", "path": "/v1/models/sentiment:explain", "headers": []}
LONG = memoryview(b"x" * 700_000)
HEADERS = {"content-type": "application/json"}


async def connected() -> Message:
    """Receive the body, and then nothing, as from a client that stays."""
    return await asyncio.Future()


def receive_body(size: int):
    messages = [{"type": "http.request", "body": b"x" * size}]

    async def receive() -> Message:
        return messages.pop() if messages else await connected()

    return receive


def test_a_long_response_is_sent_in_chunks():
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def main() -> None:
        requests = LongRequests(Response(LONG, headers=HEADERS), InFlight(RequestLimits()))
        await requests(SCOPE, receive_body(10), send)

    asyncio.run(main())
    start, *bodies = sent
    assert (b"content-length", b"700000") in start["headers"]
    assert b"".join(message["body"] for message in bodies) == LONG
    assert max(len(message["body"]) for message in bodies) < len(LONG) / 2
    assert [message["more_body"] for message in bodies] == [True] * (len(bodies) - 1) + [False]


def test_a_client_that_does_not_take_its_response_frees_its_slot():
    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Future()  # the transport waits for the client

    async def main() -> None:
        in_flight = InFlight(RequestLimits(max_body_seconds=1, max_in_flight=2))
        requests = LongRequests(Response(LONG, headers=HEADERS), in_flight)
        waiting = asyncio.create_task(requests(SCOPE, receive_body(10), send))
        await asyncio.sleep(0.1)
        with pytest.raises(OverloadError, match="1 explanations are in flight"):
            await requests(SCOPE, receive_body(10), send)
        await asyncio.wait_for(waiting, 60)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_large_explanations_wait_for_few_clients_at_a_time():
    async def send(message: Message) -> None:
        await asyncio.Future()

    async def main() -> list[BaseException | None]:
        requests = LongRequests(Response(LONG, headers=HEADERS), InFlight(RequestLimits()))
        sizes = [10] * 10 + [SMALL_BODY + 1] * 10
        tasks = [asyncio.create_task(requests(SCOPE, receive_body(n), send)) for n in sizes]
        await asyncio.sleep(0.1)
        refused = [task.exception() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return refused

    refused = asyncio.run(main())
    assert len(refused) == 10 - LARGE_EXPLANATIONS
    assert all(isinstance(error, OverloadError) for error in refused)


def test_an_error_of_the_application_is_raised():
    async def fail(scope, receive, send) -> None:
        raise TimeoutError("of the application")

    async def main() -> None:
        await LongRequests(fail, InFlight(RequestLimits()))(SCOPE, receive_body(10), None)

    with pytest.raises(TimeoutError, match="of the application"):
        asyncio.run(main())


def test_a_client_that_leaves_cancels_the_application():
    messages = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"{}"}]
    cancelled: list[bool] = []

    async def receive() -> Message:
        return messages.pop()

    async def work(scope, receive, send) -> None:
        try:
            await asyncio.Future()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main() -> None:
        await LongRequests(work, InFlight(RequestLimits()))(SCOPE, receive, None)

    asyncio.run(main())
    assert cancelled == [True]
