"""Take alerts from Alertmanager and start a command when they say that requests have drifted.

The command stands after --. POST /alerts takes webhooks, and POST /heartbeat those of the alert
that always fires; both want the bearer token. GET /heartbeat answers 503 once it has not come for
--silence seconds: have it asked from elsewhere, as nobody here would notice. GET /metrics counts.
"""

import argparse
import hmac
import json
import logging
import signal
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from prometheus_client import Gauge, generate_latest

from components import cli
from components.arguments import port, positive
from components.errors import UserError
from monitoring.starts import Starts

log = logging.getLogger("receiver")

MAX_BODY_BYTES = 1_000_000
SECONDS = 10  # that a client may take to send a request
HEARTBEAT = Gauge("heartbeat_timestamp_seconds", "When the alert that always fires came last")


class Receiver(ThreadingHTTPServer):
    """Answers at once; the command runs beside."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], token: str, starts: Starts, silence: float):
        super().__init__(address, _Handler)
        self.token = token
        self.starts = starts
        self.silence = silence
        self.heard = time.time()  # so that a start is no alarm
        HEARTBEAT.set_function(lambda: self.heard)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    timeout = SECONDS

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer(HTTPStatus.OK, generate_latest().decode())
        elif self.path == "/heartbeat":
            silent = time.time() - self.server.heard
            late = silent > self.server.silence
            status = HTTPStatus.SERVICE_UNAVAILABLE if late else HTTPStatus.OK
            self._answer(status, f"{silent:.0f} seconds ago\n")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "not here\n")

    def do_POST(self) -> None:
        given = self.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.server.token}".encode()):
            self._answer(HTTPStatus.UNAUTHORIZED, "the bearer token is missing or wrong\n")
            return
        try:
            alerts = self._alerts()
        except (ValueError, LookupError, TypeError) as error:
            self._answer(HTTPStatus.BAD_REQUEST, f"not a webhook of Alertmanager: {error!r}\n")
            return
        if self.path == "/heartbeat":
            self.server.heard = time.time()
            self._answer(HTTPStatus.OK, "heard\n")
        elif self.path == "/alerts":
            self._answer(HTTPStatus.OK, f"{self.server.starts.notified(alerts)}\n")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "not here\n")

    def _alerts(self) -> list[dict[str, Any]]:
        size = int(self.headers["content-length"])
        if not 0 <= size <= MAX_BODY_BYTES:
            raise ValueError(f"a body of {size} bytes")
        alerts = json.loads(self.rfile.read(size))["alerts"]
        return [{key: str(a[key]) for key in ("fingerprint", "startsAt", "status")} for a in alerts]

    def _answer(self, status: HTTPStatus, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        log.debug(format, *arguments)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring.receiver", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; default: %(default)s")
    add("--port", type=port, default=9095, help="default: %(default)s")
    add("--token-file", required=True, type=Path, help="file of the token that Alertmanager sends")
    add("--state", required=True, type=Path, help="JSON file that remembers the last start")
    add(
        "--cool-down", type=positive, default=86400.0, help="seconds between starts; default: a day"
    )
    add("--silence", type=positive, default=300.0, help="seconds; default: five minutes")
    add("command", nargs="+", help="what to start, after --")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        token = args.token_file.read_text().strip()
        if not token:
            raise UserError(f"--token-file {args.token_file}: it is empty")
        starts = Starts(args.command, args.state, args.cool_down)
        try:
            server = Receiver((args.host, args.port), token, starts, args.silence)
        except OSError as error:
            where = f"--host {args.host} --port {args.port}"
            raise UserError(f"{where}: {error.strerror}") from error
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        log.info("listening on %s:%d", args.host, args.port)
        try:
            server.serve_forever()
        finally:
            starts.stop()

    return cli.run("receiver", work)


if __name__ == "__main__":
    raise SystemExit(main())
