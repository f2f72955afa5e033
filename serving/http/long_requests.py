"""Bound what explanations and large predictions hold: the queue, slots, and long responses."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import OverloadError
from serving.http.body import replay
from serving.in_flight import SMALL_BODY, InFlight

LARGE_EXPLANATIONS = 4  # at a time, until their clients have them: a response may have 40 MB
_CHUNK = 262_144  # bytes of a response given to the transport at a time
_RATE = 1_048_576  # bytes a second at which a client must take a response of more than a chunk


def check_room(in_flight: InFlight, scope: Scope, size: int) -> None:
    """Raise OverloadError for an explanation or a body of much work while there is no room."""
    large, explain = size > SMALL_BODY, _explains(scope)
    if large or explain:
        in_flight.scheduler.budget.check(large, explain)


def _explains(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.endswith(":explain")


class LongRequests:
    """ASGI middleware, inside of :class:`serving.http.admission.Admission`.

    It refuses explanations and large predictions before they are decoded while there is no room for
    their work. It cancels them when their client disconnects, because ASGI servers do not. It waits
    for the client of a long response, and cancels it if the client does not take it.
    """

    def __init__(self, app: ASGIApp, in_flight: InFlight) -> None:
        self._app = app
        self._in_flight = in_flight
        self._limits = in_flight.limits
        self._explanations = 0
        self._large_explanations = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body: bytes = (await receive()).get("body", b"")  # admission has read all of it
        size = len(body)
        check_room(self._in_flight, scope, size)
        if _explains(scope):
            with self._slot(size > SMALL_BODY):
                await self._run_while_connected(scope, body, receive, send)
        elif size > SMALL_BODY:
            await self._run_while_connected(scope, body, receive, send)
        else:
            await self._app(scope, replay(body, receive), send)

    @contextmanager
    def _slot(self, large: bool) -> Iterator[None]:
        """Count an explanation while the block runs, or raise OverloadError."""
        full = self._explanations >= max(self._limits.max_in_flight // 2, 1)
        if full or (large and self._large_explanations >= LARGE_EXPLANATIONS):
            reason = f"{self._explanations} explanations are in flight; try again in 1 s"
            raise OverloadError(reason, 1)
        self._explanations += 1
        self._large_explanations += large
        try:
            yield
        finally:
            self._explanations -= 1
            self._large_explanations -= large

    async def _run_while_connected(
        self, scope: Scope, body: bytes, receive: Receive, send: Send
    ) -> None:
        loop = asyncio.get_running_loop()

        async def watch() -> Message:
            message = await receive()  # after the body, only a disconnect can follow
            deadline.reschedule(loop.time())
            return message

        async def receive_disconnect() -> Message:
            return await asyncio.shield(watching)

        async def send_in_chunks(message: Message) -> None:
            content = message.get("body", b"")
            if len(content) <= _CHUNK:
                await send(message)
                return
            seconds = self._limits.max_body_seconds + len(content) / _RATE
            deadline.reschedule(loop.time() + seconds)
            for first in range(0, len(content), _CHUNK):
                chunk = content[first : first + _CHUNK]
                await send({"type": message["type"], "body": chunk, "more_body": True})
                await asyncio.sleep(0)  # the transport may take a chunk at once
            await send({"type": message["type"], "body": b"", "more_body": False})

        try:
            async with asyncio.timeout(None) as deadline:
                watching = asyncio.create_task(watch())
                try:
                    await self._app(scope, replay(body, receive_disconnect), send_in_chunks)
                finally:
                    watching.cancel()
        except TimeoutError:
            if not deadline.expired():
                raise
