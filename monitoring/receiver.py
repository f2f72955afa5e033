"""Receive alerts from Alertmanager and start the command after -- for each that asks for it.

The file --services adds arguments to the command for the service that the alert names. POST /alerts
takes the alerts that ask for a training, POST /heartbeat the alert that always fires; both need the
bearer token. GET /heartbeat answers 503 when the last heartbeat is older than --silence seconds:
let a check outside of the cluster ask it. GET /metrics has the counts.
"""

import argparse
import hmac
import json
import logging
import signal
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client import Gauge, generate_latest

from components import cli
from components.cli import port, positive
from components.errors import UserError
from components.io.files import read_argument
from monitoring.services import read_services
from monitoring.settings import Ports, listen_address
from monitoring.trigger import Alert, RetrainingTriggers

log = logging.getLogger("receiver")

MAX_BODY_BYTES = 1_000_000
CLIENT_SECONDS = 10  # for a client to send a request

HEARTBEAT = Gauge("heartbeat_timestamp_seconds", "When the alert that always fires came last")


class AlertServer(ThreadingHTTPServer):
    """Answers each webhook at once, while the command runs in a process of its own."""

    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        token: str,
        triggers: RetrainingTriggers,
        heartbeat_timeout: float,
    ) -> None:
        self.address_family = socket.getaddrinfo(*address, flags=socket.AI_PASSIVE)[0][0]
        super().__init__(address, _Handler)
        self.token = token
        self.triggers = triggers
        self.heartbeat_timeout = heartbeat_timeout
        self.hear()  # a start counts as a heartbeat

    def hear(self) -> None:
        HEARTBEAT.set_to_current_time()
        self._heard = time.monotonic()  # the time of day may be set back

    def silence(self) -> float:
        """Return the seconds since the last heartbeat."""
        return time.monotonic() - self._heard


class _Handler(BaseHTTPRequestHandler):
    server: AlertServer
    timeout = CLIENT_SECONDS

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._respond(HTTPStatus.OK, generate_latest().decode())
        elif self.path == "/heartbeat":
            age = self.server.silence()
            late = age > self.server.heartbeat_timeout
            status = HTTPStatus.SERVICE_UNAVAILABLE if late else HTTPStatus.OK
            self._respond(status, f"{age:.0f} seconds ago\n")
        else:
            self._respond(HTTPStatus.NOT_FOUND, "not here\n")

    def do_POST(self) -> None:
        credentials = self.headers.get("authorization", "")
        if not hmac.compare_digest(credentials.encode(), f"Bearer {self.server.token}".encode()):
            self._respond(HTTPStatus.UNAUTHORIZED, "the bearer token is missing or wrong\n")
            return
        try:
            alerts = self._read_alerts()
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._respond(HTTPStatus.BAD_REQUEST, f"not a webhook of Alertmanager: {error!r}\n")
            return
        if self.path == "/heartbeat":
            self.server.hear()
            self._respond(HTTPStatus.OK, "heard\n")
        elif self.path == "/alerts":
            decisions = self.server.triggers.notify(alerts)
            lines = (f"{service}: {decision}\n" for service, decision in decisions.items())
            self._respond(HTTPStatus.OK, "".join(lines))
        else:
            self._respond(HTTPStatus.NOT_FOUND, "not here\n")

    def _read_alerts(self) -> list[Alert]:
        size = int(self.headers["content-length"])
        if not 0 <= size <= MAX_BODY_BYTES:
            raise ValueError(f"a body of {size} bytes")
        return [
            Alert(
                fingerprint=str(alert["fingerprint"]),
                started=str(alert["startsAt"]),
                status=str(alert["status"]),
                namespace=str(alert["labels"].get("namespace", "")),
                service=str(alert["labels"].get("service", "")),
            )
            for alert in json.loads(self.rfile.read(size))["alerts"]
        ]

    def _respond(self, status: HTTPStatus, text: str) -> None:
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
    add("--host", default="127.0.0.1", help="to listen on; :: is all; default: %(default)s")
    add("--port", type=port, default=Ports().receiver, help="default: %(default)s")
    add("--token-file", required=True, type=Path, help="file of the token that Alertmanager sends")
    add("--services", type=Path, help="YAML file; default: sentiment in the namespace sentiment")
    add("--state", required=True, type=Path, help="folder with the last start of each service")
    add(
        "--cool-down",
        type=positive,
        default=86400.0,
        help="seconds from one start of a service to the next; default: a day",
    )
    add(
        "--silence",
        type=positive,
        default=300.0,
        help="seconds without a heartbeat until GET /heartbeat answers 503; default: five minutes",
    )
    add("command", nargs="+", help="what to start, after --")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        token = read_argument("--token-file", args.token_file)
        if not token:
            raise UserError(f"--token-file {args.token_file}: it is empty")
        services = read_services(args.services)
        triggers = RetrainingTriggers(services, args.command, args.state, args.cool_down)
        try:
            address = (listen_address(args.host), args.port)
            server = AlertServer(address, token, triggers, args.silence)
        except OSError as error:
            flags = f"--host {args.host} --port {args.port}"
            raise UserError(f"{flags}: {error.strerror}") from error
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        log.info("listening on %s, port %d", *address)
        try:
            server.serve_forever()
        finally:
            triggers.stop()

    return cli.run("receiver", work)


if __name__ == "__main__":
    raise SystemExit(main())
