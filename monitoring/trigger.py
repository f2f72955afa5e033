"""Start the retraining of a service when an alert asks for it: decisions and their counts."""

import logging
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from prometheus_client import Counter, Gauge

from components.errors import UserError
from components.io.files import read_json, write_json
from monitoring.services import WatchedService

log = logging.getLogger("receiver")

# prometheus_client adds _total to the name of a counter's samples
LABELS = ["namespace", "service"]  # of the service that is trained
NOTIFICATIONS = Counter(
    "retraining_notification_count", "Notifications of alerts", [*LABELS, "outcome"]
)
RUNS = Counter("retraining_run_count", "Runs of the command that have ended", [*LABELS, "outcome"])
RUNNING = Gauge("retraining_running", "Whether the command runs now", LABELS)
STARTED = Gauge("retraining_started_timestamp_seconds", "When the command was started last", LABELS)


@dataclass(frozen=True)
class Alert:
    fingerprint: str
    started: str  # RFC 3339, as Alertmanager writes it
    status: str  # firing or resolved
    namespace: str = ""
    service: str = ""

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
    """Starts the command for a service on drift: one run at a time, at most one per cool-down.

    Each service has a trigger, so that a run of one holds up no other.

    The cool-down counts from the start of a run, however the run ended, and survives a restart of
    this process in ``folder``. An alert that still fires after the cool-down starts another
    run: there may be new reviews. A start in the future, by a clock that was ahead, would block
    the next run until then, and so becomes one of now.
    """

    def __init__(
        self, service: WatchedService, command: Sequence[str], folder: Path, cool_down: float
    ) -> None:
        self._service = service
        self._command = [*command, *service.retrain]
        self._state_file = folder / f"{service.namespace}.{service.name}.json"
        self._cool_down = cool_down
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._last = LastRun.read(self._state_file)
        for outcome in ("started", "known", "running", "cooling down", "resolved"):
            NOTIFICATIONS.labels(*service.labels, outcome)  # 0, not absent, before the first
        for outcome in ("succeeded", "failed"):
            RUNS.labels(*service.labels, outcome)
        RUNNING.labels(*service.labels)
        STARTED.labels(*service.labels).set(self._last.started)

    def notify(self, alerts: Sequence[Alert]) -> str:
        """Start the command if these alerts call for it, and return the decision."""
        firing = {alert.episode for alert in alerts if alert.status == "firing"}
        with self._lock:
            decision = self._decide(firing)
            if decision == "started":
                self._start(firing)
        NOTIFICATIONS.labels(*self._service.labels, decision).inc()
        log.info("%s: %d alerts fire: %s", self._service, len(firing), decision)
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
            log.warning(
                "%s: the last start is in the future; the cool-down starts now instead",
                self._service,
            )
            self._save(replace(self._last, started=now))
            STARTED.labels(*self._service.labels).set(now)
        if now >= self._last.started + self._cool_down:
            return "started"
        return "known" if firing <= set(self._last.firing) else "cooling down"

    def _start(self, firing: set[str]) -> None:
        self._save(LastRun(tuple(sorted(firing)), time.time(), "started"))
        self._process = subprocess.Popen(self._command)
        RUNNING.labels(*self._service.labels).set(1)
        STARTED.labels(*self._service.labels).set(self._last.started)
        threading.Thread(target=self._wait_for_end, args=[self._process], daemon=True).start()

    def _wait_for_end(self, process: subprocess.Popen[bytes]) -> None:
        outcome = "failed" if process.wait() else "succeeded"
        log.info("%s: the command has %s with code %d", self._service, outcome, process.returncode)
        with self._lock:
            self._process = None
            self._save(replace(self._last, outcome=outcome))
        RUNNING.labels(*self._service.labels).set(0)
        RUNS.labels(*self._service.labels, outcome).inc()

    def _save(self, last: LastRun) -> None:
        self._last = last
        last.write(self._state_file)


class RetrainingTriggers:
    """The triggers of all services: each gets the alerts with its namespace and name.

    ``folder`` keeps their last runs.
    """

    def __init__(
        self,
        services: Sequence[WatchedService],
        command: Sequence[str],
        folder: Path,
        cool_down: float,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._triggers = {
            service.labels: RetrainingTrigger(service, command, folder, cool_down)
            for service in services
        }

    def notify(self, alerts: Sequence[Alert]) -> dict[str, str]:
        """Return the decision for each service that the alerts name: ``unknown`` of any other."""
        by_service: dict[tuple[str, str], list[Alert]] = {}
        for alert in alerts:
            by_service.setdefault((alert.namespace, alert.service), []).append(alert)
        decisions = {}
        for labels, its_alerts in by_service.items():
            name = "/".join(labels)
            if labels in self._triggers:
                decisions[name] = self._triggers[labels].notify(its_alerts)
            else:
                decisions[name] = "unknown"
                NOTIFICATIONS.labels(*labels, "unknown").inc()
                log.warning("%s: not one of --services; nothing is started", name)
        return decisions

    def stop(self) -> None:
        for trigger in self._triggers.values():
            trigger.stop()
