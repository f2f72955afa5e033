"""uvicorn's HTTP protocol with limits on the head of a request, and our shape of errors."""

import asyncio
import json
import logging
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving import errors, metrics

MAX_HEAD = 65_536  # bytes
LOGGER_NAME = "uvicorn.error.requests"  # apart from uvicorn.error, so that it can be silenced
_LOGGER = logging.getLogger(LOGGER_NAME)


class HttpProtocol(HttpToolsProtocol):
    """Limit the head of a request to ``MAX_HEAD`` bytes and to the keep-alive timeout.

    httptools gathers a head of any size, and uvicorn waits for it forever (Kludex/uvicorn#157, seen
    with 0.54.0).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _LOGGER
        self._head_size: int | None = 0  # bytes of an incomplete head, None within a request
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self.timeout_keep_alive, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_size is None:
            self._stop_timer()
        elif not self.transport.is_closing():
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                reason = f"the head of the request has more than {MAX_HEAD} bytes"
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, reason)
            elif self._head_timer is None:
                wait = self.timeout_keep_alive
                self._head_timer = self.loop.call_later(wait, self.transport.close)

    def on_message_begin(self) -> None:
        self._head_size = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_size = None
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, "the request is not HTTP/1.1")

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        metrics.REJECTED.labels(errors.NOT_HTTP).inc()
        metrics.observe_unparsed(status)
        body = json.dumps({"error": reason}).encode()
        head = STATUS_LINE[status] + b"content-type: application/json\r\nconnection: close\r\n"
        self.transport.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()
