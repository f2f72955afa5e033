"""gRPC calls of which the client sends no message."""

import asyncio

import grpc

from serving.arrivals import MAX_WAITING
from tests.serving import MODEL_INFER, call_infer

BEYOND = 20


def test_calls_that_wait_longest_for_their_messages_are_refused(server):
    async def open_calls() -> set[grpc.StatusCode]:
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            call = channel.stream_unary(MODEL_INFER)
            calls = [call() for _ in range(MAX_WAITING + BEYOND)]
            codes = asyncio.as_completed([each.code() for each in calls], timeout=8)
            refused = {await next(codes) for _ in range(BEYOND)}
            assert sum(each.done() for each in calls) == BEYOND
            assert await asyncio.to_thread(call_infer, server, ["good"]) is grpc.StatusCode.OK
            return refused

    before = server.rejected("too_slow")
    assert asyncio.run(open_calls()) == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert server.rejected("too_slow") - before >= BEYOND


def test_a_call_without_a_message_is_refused(server):
    async def call_without_message() -> tuple[grpc.StatusCode, str]:
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            call = channel.stream_unary(MODEL_INFER)()
            await call.done_writing()
            return await call.code(), await call.details()

    code, reason = asyncio.run(call_without_message())
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "missing" in reason
