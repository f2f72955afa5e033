"""End without losing a request: uvicorn alone resets connections that have yet to be read.

Between the signal and the end there are connections that the kernel has taken and the server has
not, connections that have not sent their request yet, and kept-alive ones whose next request is
on its way. All of them are served here, and told that the connection closes.
"""

import asyncio
import os
import socket
from functools import partial
from typing import Any

import uvicorn

PATIENCE = 1.0  # seconds for a client that is connected to send its next request


def install() -> None:
    """Drain in every server of this process; KServe makes its own deep inside."""
    shutdown = uvicorn.Server.shutdown

    async def drain_and_shutdown(
        server: uvicorn.Server, sockets: list[socket.socket] | None = None
    ) -> None:
        await drain(server)
        await shutdown(server, sockets)

    uvicorn.Server.shutdown = drain_and_shutdown  # type: ignore[method-assign,assignment]


async def drain(server: Any) -> None:
    """Take what is queued, refuse what comes later, and wait until all clients had their turn."""
    state = server.server_state
    state.default_headers = [*state.default_headers, (b"connection", b"close")]
    await _take_queued(server)
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while asyncio.get_running_loop().time() < deadline:
        cycles = [getattr(connection, "cycle", None) for connection in state.connections]
        if all(cycle is not None and not cycle.response_complete for cycle in cycles):
            break  # nobody is connected but who waits for an answer
        await asyncio.sleep(0.01)


async def _take_queued(server: Any) -> None:
    """Stop listening, and hand the connections that the kernel holds in its queue to the loop.

    A listening socket that is closed resets its queue. So a duplicate stays open while the queue
    is emptied, and is closed the moment that it is.
    """
    loop = asyncio.get_running_loop()
    listening = [listener for each in server.servers for listener in each.sockets]
    duplicates = [socket.socket(fileno=os.dup(listener.fileno())) for listener in listening]
    protocol = partial(
        server.config.http_protocol_class,
        config=server.config,
        server_state=server.server_state,
        app_state=server.lifespan.state,
    )
    for each in server.servers:
        each.close()
    queued = []
    for duplicate in duplicates:
        duplicate.setblocking(False)
        try:
            while True:
                queued.append(duplicate.accept()[0])
        except BlockingIOError:
            duplicate.close()
    for connection in queued:
        await loop.connect_accepted_socket(protocol, connection, ssl=server.config.ssl)
