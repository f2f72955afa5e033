"""Receive alerts from Alertmanager and start the command after -- when requests have drifted.

POST /alerts takes the drift alert, POST /heartbeat the alert that always fires; both need the
bearer token. GET /heartbeat answers 503 when the last heartbeat is older than --silence seconds:
let a check outside of the cluster ask it. GET /metrics has the counts.
"""

import argparse
import hmac
import json
import logging
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client import Counter, Gauge, generate_latest

from components import cli
from components.cli import port, positive
from components.errors import UserError
from components.io.files import read_argument, read_json, write_json
from monitoring.settings import Ports, listen_address

log = logging.getLogger("receiver")

MAX_BODY_BYTES = 1_000_000
CLIENT_SECONDS = 10  # for a client to send a request

# prometheus_client adds _total to the name of a counter's samples
NOTIFICATIONS = Counter("retraining_notification_count", "Notifications of drift", ["outcome"])
RUNS = Counter("retraining_run_count", "Runs of the command that have ended", ["outcome"])
RUNNING = Gauge("retraining_running", "Whether the command runs now")
STARTED = Gauge("retraining_started_timestamp_seconds", "When the command was started last")
HEARTBEAT = Gauge("heartbeat_timestamp_seconds", "When the alert that always fires came last")
for _outcome in ("started", "known", "running", "cooling down", "resolved"):
    NOTIFICATIONS.labels(_outcome)  # 0, not absent, before the first
for _outcome in ("succeeded", "failed"):
    RUNS.labels(_outcome)


@dataclass(frozen=True)
class Alert:
    fingerprint: str
    started: str  # RFC 3339, as Alertmanager writes it
    status: str  # firing or resolved

    @property
    def episode(self) -> str:
        """Return a key that is constant while the alert fires."""
        return f"{self.fingerprint} {self.started}"


@dataclass(frozen=True)
class LastRun:
    """The last run of the command, as the state file keeps it."""

    firing: tuple[str, ...] = ()  # episodes of the alerts that started the run
    started: float = 0.0
    outcome: str = "none"

    @classmethod
    def read(cls, path: Path) -> "LastRun":
        if not path.exists():
            return cls()
        state = read_json(path)
        try:
            return cls(tuple(state["firing"]), float(state["started"]), state["outcome"])
        except (LookupError, TypeError, ValueError) as error:
            raise UserError(f"{path}: not a receiver's state; remove the file") from error

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))


class RetrainingTrigger:
    """Starts the command on drift: one run at a time, at most one per cool-down.

    The cool-down counts from the start of a run, however the run ended, and survives a restart of
    this process in ``state_file``. An alert that still fires after the cool-down starts another
    run: there may be new reviews. A start in the future, by a clock that was ahead, would block
    the next run until then, and so becomes one of now.
    """

    def __init__(self, command: Sequence[str], state_file: Path, cool_down: float) -> None:
        self._command = command
        self._state_file = state_file
        self._cool_down = cool_down
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._last = LastRun.read(state_file)
        STARTED.set(self._last.started)

    def notify(self, alerts: Sequence[Alert]) -> str:
        """Start the command if these alerts call for it, and return the decision."""
        firing = {alert.episode for alert in alerts if alert.status == "firing"}
        with self._lock:
            decision = self._decide(firing)
            if decision == "started":
                self._start(firing)
        NOTIFICATIONS.labels(decision).inc()
        log.info("%d alerts fire: %s", len(firing), decision)
        return decision

    def stop(self) -> None:
        """Terminate a running command; its cool-down goes on."""
        with self._lock:
            if self._process is not None:
                self._process.terminate()

    def _decide(self, firing: set[str]) -> str:
        if not firing:
            return "resolved"
        if self._process is not None:
            return "running"
        now = time.time()
        if self._last.started > now:
            log.warning("the last start is in the future; the cool-down starts now instead")
            self._save(replace(self._last, started=now))
            STARTED.set(now)
        if now >= self._last.started + self._cool_down:
            return "started"
        return "known" if firing <= set(self._last.firing) else "cooling down"

    def _start(self, firing: set[str]) -> None:
        self._save(LastRun(tuple(sorted(firing)), time.time(), "started"))
        self._process = subprocess.Popen(self._command)
        RUNNING.set(1)
        STARTED.set(self._last.started)
        threading.Thread(target=self._wait_for_end, args=[self._process], daemon=True).start()

    def _wait_for_end(self, process: subprocess.Popen[bytes]) -> None:
        outcome = "failed" if process.wait() else "succeeded"
        log.info("the command has %s with code %d", outcome, process.returncode)
        with self._lock:
            self._process = None
            self._save(replace(self._last, outcome=outcome))
        RUNNING.set(0)
        RUNS.labels(outcome).inc()

    def _save(self, last: LastRun) -> None:
        self._last = last
        last.write(self._state_file)


class AlertServer(ThreadingHTTPServer):
    """Answers each webhook at once, while the command runs in a process of its own."""

    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        token: str,
        trigger: RetrainingTrigger,
        heartbeat_timeout: float,
    ) -> None:
        self.address_family = socket.getaddrinfo(*address, flags=socket.AI_PASSIVE)[0][0]
        super().__init__(address, _Handler)
        self.token = token
        self.trigger = trigger
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
        except (ValueError, LookupError, TypeError) as error:
            self._respond(HTTPStatus.BAD_REQUEST, f"not a webhook of Alertmanager: {error!r}\n")
            return
        if self.path == "/heartbeat":
            self.server.hear()
            self._respond(HTTPStatus.OK, "heard\n")
        elif self.path == "/alerts":
            self._respond(HTTPStatus.OK, f"{self.server.trigger.notify(alerts)}\n")
        else:
            self._respond(HTTPStatus.NOT_FOUND, "not here\n")

    def _read_alerts(self) -> list[Alert]:
        size = int(self.headers["content-length"])
        if not 0 <= size <= MAX_BODY_BYTES:
            raise ValueError(f"a body of {size} bytes")
        return [
            Alert(str(alert["fingerprint"]), str(alert["startsAt"]), str(alert["status"]))
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
    add("--state", required=True, type=Path, help="JSON file that keeps the last start")
    add(
        "--cool-down",
        type=positive,
        default=86400.0,
        help="seconds from one start to the next; default: a day",
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
        trigger = RetrainingTrigger(args.command, args.state, args.cool_down)
        try:
            address = (listen_address(args.host), args.port)
            server = AlertServer(address, token, trigger, args.silence)
        except OSError as error:
            flags = f"--host {args.host} --port {args.port}"
            raise UserError(f"{flags}: {error.strerror}") from error
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        log.info("listening on %s, port %d", *address)
        try:
            server.serve_forever()
        finally:
            trigger.stop()

    return cli.run("receiver", work)


if __name__ == "__main__":
    raise SystemExit(main())
