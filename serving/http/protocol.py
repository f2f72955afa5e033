"""uvicorn's HTTP protocol with limits on the bytes around a body, and our shape of errors."""

import asyncio
import json
import logging
from http import HTTPStatus
from typing import Any

from httptools import HttpRequestParser
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving import errors, metrics
from serving.http import framing
from serving.http.framing import ChunkedBody, FramingError, Head, Part

MAX_HEAD = 65_536  # bytes
LOGGER_NAME = "uvicorn.error.requests"  # apart from uvicorn.error, so that it can be silenced
_LOGGER = logging.getLogger(LOGGER_NAME)
_LINGER_SECONDS = 2.0  # for which a refused client may still send, and read the reason
_LINGER_BYTES = 2**20
_UNREAD_SECONDS = 10.0  # for which a client may leave a full buffer, or its last response, unread


class _Flow(FlowControl):
    """uvicorn's, but no request resumes the reading while bytes are held back."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class _Dropped(list[tuple[bytes, bytes]]):
    def append(self, header: tuple[bytes, bytes]) -> None:
        pass


_TRAILERS = _Dropped()


class HttpProtocol(HttpToolsProtocol):
    """Limit what surrounds bodies, and parse one request at a time.

    A head has ``MAX_HEAD`` bytes at most, empty lines before it included, and arrives within the
    keep-alive timeout: httptools gathers a head of any size, and uvicorn waits for it forever
    (Kludex/uvicorn#157, seen with 0.54.0). Chunk sizes, chunk extensions and trailers have as many
    bytes at most, and a few for each byte of the body. Trailers are dropped: uvicorn adds them to
    the headers, without a limit.

    A client that does not read its responses is disconnected. uvicorn waits for it forever, and the
    request keeps its slot; so does a closed connection with bytes that the client has not taken.

    A request behind another one is parsed after the response to the first, which would be lost if
    the second is invalid. The parser therefore never gets bytes beyond the end of a request.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _LOGGER
        self._part: Part = Head()  # of which the parser gets the next bytes
        self._in_head = True  # or between two requests
        self._head_size = 0  # bytes of an incomplete head
        self._unread = b""  # bytes that are parsed later
        self._complete = False  # a request has ended in the piece that the parser gets
        self._fault: str | None = None
        self._refused = False
        self._linger_bytes = _LINGER_BYTES
        self._timer: asyncio.TimerHandle | None = None  # of a head, or of a refused client
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow: _Flow = _Flow(transport)
        self._close_after(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_unread_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._linger_bytes -= len(data)
            if self._linger_bytes < 0:
                self._close()
        elif self._unread or self._answering():
            self._hold(self._unread + data)
        else:
            self._parse(data)

    def _answering(self) -> bool:
        """Return whether a request has arrived whose response has not been sent in full."""
        return self._in_head and self.cycle is not None and not self.cycle.response_complete

    def _hold(self, data: bytes) -> None:
        self._unread = data
        self.flow.pause_reading()
        self.flow.held = True

    def _release(self) -> bytes:
        unread, self._unread = self._unread, b""
        self.flow.held = False
        self.flow.resume_reading()
        return unread

    def _parse(self, data: bytes) -> None:
        """Feed the parser with pieces, each of a single head or body."""
        start = 0
        while start < len(data) and not self._refused and not self.transport.is_closing():
            if self._answering():
                self._hold(data[start:])
                break
            part = self._part
            end = part.end(data, start)
            self._feed(data[start:end])
            start = end
            if part is self._part and start < len(data):  # many short chunks
                self._hold(data[start:])
                self.loop.call_soon(self._parse_unread)
                break
        if self._in_head and self._head_size and self._timer is None:
            self._close_after(self.timeout_keep_alive)

    def _parse_unread(self) -> None:
        self._parse(self._release())

    def _feed(self, piece: bytes) -> None:
        if self._in_head:
            self._head_size += len(piece)
            if self._head_size > MAX_HEAD:
                self._refuse_size("the head of the request has")
                return
        self._complete = False
        part = self._part
        super().data_received(piece)
        if isinstance(part, ChunkedBody) and not self._refused:
            if self._complete:
                self.parser = HttpRequestParser(self)  # no trailer must change the next request
            elif part.surplus > MAX_HEAD:
                self._refuse_size("the chunk sizes, extensions and trailers of the body have")

    def on_headers_complete(self) -> None:
        self._stop_timer()
        version, upgrade = self.parser.get_http_version(), self.parser.should_upgrade()
        try:
            self._part = framing.body(version, self.headers, upgrade)
        except FramingError as error:  # httptools stops, and uvicorn calls send_400_response
            self._fault = str(error)
            raise
        self._in_head = False
        super().on_headers_complete()
        self.headers = _TRAILERS

    def on_message_begin(self) -> None:
        if self._complete:
            raise FramingError("the parser has found another end of the request")
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._part, self._in_head, self._head_size = Head(), True, 0
        self._complete = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_if_unread()
            return
        if not self._in_head:
            self._linger()
        elif self._unread:
            self.loop.call_soon(self._parse_unread)  # and not within the application's task

    def pause_writing(self) -> None:
        super().pause_writing()
        self._abort_if_unread()

    def resume_writing(self) -> None:
        if not self.transport.is_closing():
            self._stop_unread_timer()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            self._abort_if_unread()

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, self._fault or "the request is not HTTP/1.1")

    def _refuse_size(self, subject: str) -> None:
        reason = f"{subject} more than {MAX_HEAD} bytes"
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, reason)

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        metrics.REJECTED.labels(errors.NOT_HTTP).inc()
        cycle, started = self.cycle, False
        if cycle is not None and not cycle.response_complete:  # the application reads its body
            started = cycle.response_started
            cycle.disconnected = True
            cycle.waiting_for_100_continue = False
            cycle.message_event.set()
        if cycle is None or cycle.response_complete:  # else the application counts the request
            metrics.observe_unparsed(status)
        if not started:
            body = json.dumps({"error": reason}).encode()
            head = STATUS_LINE[status] + b"content-type: application/json\r\nconnection: close\r\n"
            self.transport.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        self._linger()

    def _linger(self) -> None:
        """Close the connection, but read on for a while: the client of a reset loses the reason."""
        self._refused = True
        self._release()
        self._close_after(_LINGER_SECONDS)
        try:
            if self.transport.can_write_eof():  # not with TLS
                self.transport.write_eof()
        except OSError:  # the client has reset the connection
            self._close()

    def _close(self) -> None:
        """Close the connection as soon as the client has taken what is written."""
        self.transport.close()
        self._abort_if_unread()

    def _abort_if_unread(self) -> None:
        """Abort the connection if the client has not read in ``_UNREAD_SECONDS``."""
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(_UNREAD_SECONDS, self.transport.abort)

    def _stop_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _close_after(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self._close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
