"""Drain connections before a shutdown, so that no request is lost.

Between the signal and the shutdown there are connections that the kernel has accepted and the
server has not, connections without a request yet, and kept-alive connections whose next request
is on its way. uvicorn alone resets all of them (Kludex/uvicorn#3124, seen with 0.54.0). Here each
is served, with a response that closes the connection.
"""

import asyncio
import os
import socket
from functools import partial

from kserve.protocol.rest.server import _RefreshingServer

CLIENT_SECONDS = 1.0  # in which a connected client may send its next request


class DrainingServer(_RefreshingServer):
    """KServe's uvicorn server, which refreshes TLS certificates, with a drain at its end."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._drain()
        await super().shutdown(sockets)

    async def _drain(self) -> None:
        """Stop listening, and wait ``CLIENT_SECONDS`` at most for each client's next request."""
        state = self.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        await self._accept_queued()
        deadline = asyncio.get_running_loop().time() + CLIENT_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            cycles = [getattr(connection, "cycle", None) for connection in state.connections]
            if all(cycle is not None and not cycle.response_complete for cycle in cycles):
                break  # every open connection is waiting for its response
            await asyncio.sleep(0.01)

    async def _accept_queued(self) -> None:
        """Stop listening, and accept the connections that are in the kernel's queue.

        The kernel resets the connections in its queue when the listening socket is closed. A
        duplicate of the socket keeps the queue open until it is empty.
        """
        loop = asyncio.get_running_loop()
        listening = [listener for each in self.servers for listener in each.sockets]
        duplicates = [socket.socket(fileno=os.dup(listener.fileno())) for listener in listening]
        protocol = partial(
            self.config.http_protocol_class,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        for each in self.servers:
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
            await loop.connect_accepted_socket(protocol, connection, ssl=self.config.ssl)
