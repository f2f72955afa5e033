"""Read the messages of gRPC calls, of which clients may send the heads alone."""

import asyncio

import grpc

from serving.errors import TooLargeError, TooSlowError
from serving.limits import RequestLimits

# A call takes 20 kB and what has arrived of its message, which gRPC reads at any pace. The messages
# of honest clients follow their heads at once, however many clients there are.
MAX_WAITING = 256


class Arrivals:
    """The calls that wait for their messages.

    gRPC itself waits for each without a limit, of their number or of time (grpcio 1.85.1). Beyond
    ``MAX_WAITING`` the one that waits longest is refused, so that no client keeps out the others.
    """

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._waiting: dict[asyncio.Timeout, None] = {}  # in the order of their arrival

    async def read(self, context: grpc.aio.ServicerContext) -> bytes:
        """Return the message of a call, as bytes.

        Raises:
            TooSlowError: it did not arrive in time; DEADLINE_EXCEEDED.
            TooLargeError: gRPC has refused it for its size, or the client has sent none;
                RESOURCE_EXHAUSTED.
        """
        if len(self._waiting) >= MAX_WAITING:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            longest.reschedule(asyncio.get_running_loop().time())
        timeout = asyncio.timeout(self._limits.max_body_seconds)
        try:
            async with timeout:
                self._waiting[timeout] = None
                message = await context.read()
        except TimeoutError as error:
            raise TooSlowError("the message did not arrive in time") from error
        finally:
            self._waiting.pop(timeout, None)
        if message is grpc.aio.EOF:
            limit = self._limits.max_body_bytes
            raise TooLargeError(f"the message is missing, or it has more than {limit} bytes")
        return bytes(message)
