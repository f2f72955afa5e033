"""HTTP as uvicorn reads it, with an end to the head of a request, and our shape of error."""

import asyncio
import json
import logging
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving import errors, metrics

MAX_HEAD = 65_536  # bytes; httptools gathers a head without end
_LOGGER = logging.getLogger("uvicorn.error.requests")  # uvicorn warns of each that is no HTTP


class Protocol(HttpToolsProtocol):
    """A head must be whole within the time that a connection may be idle, and not too large."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _LOGGER
        self._head: int | None = 0  # bytes of a head that has not ended
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._patience = self.loop.call_later(self.timeout_keep_alive, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head is None:
            self._stop_waiting()
        elif not self.transport.is_closing():
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head has no end")
            elif self._patience is None:
                wait = self.timeout_keep_alive
                self._patience = self.loop.call_later(wait, self.transport.close)

    def on_message_begin(self) -> None:
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head = None
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, "the request is not HTTP/1.1")

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        metrics.REJECTED.labels(errors.NOT_HTTP).inc()
        body = json.dumps({"error": reason}).encode()
        head = STATUS_LINE[status] + b"content-type: application/json\r\nconnection: close\r\n"
        self.transport.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()
