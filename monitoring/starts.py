"""When to train anew: one run at a time, and not again before a cool-down has passed."""

import logging
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge

from components.io.files import read_json, write_json

log = logging.getLogger("receiver")

# prometheus_client adds _total to the name of a counter's samples
NOTIFICATIONS = Counter("retraining_notification_count", "Notifications of drift", ["outcome"])
RUNS = Counter("retraining_run_count", "Runs of the command that have ended", ["outcome"])
RUNNING = Gauge("retraining_running", "Whether the command runs now")
STARTED = Gauge("retraining_started_timestamp_seconds", "When the command was started last")
OUTCOMES = ("started", "known", "running", "cooling down", "resolved")
for _outcome in OUTCOMES:
    NOTIFICATIONS.labels(_outcome)  # one never seen is 0, not absent
for _outcome in ("succeeded", "failed"):
    RUNS.labels(_outcome)


class Starts:
    """Starts ``command`` and remembers it in ``file``, through restarts of this process too.

    The cool-down counts from the start of a run, whatever became of it: also one that was cut off
    by a restart of ours. What still fires after it starts the next one: there may be new reviews.
    """

    def __init__(self, command: Sequence[str], file: Path, cool_down: float) -> None:
        self._command = command
        self._file = file
        self._cool_down = cool_down
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._last: dict[str, Any] = {"firing": [], "started": 0.0, "outcome": "none"}
        if file.exists():
            self._last |= read_json(file)
        STARTED.set(self._last["started"])

    def notified(self, alerts: Sequence[dict[str, Any]]) -> str:
        """Take a notification, start the command if it is time to, and say what was decided."""
        firing = sorted(
            f"{alert['fingerprint']} {alert['startsAt']}"
            for alert in alerts
            if alert["status"] == "firing"
        )
        with self._lock:
            outcome = self._decide(firing)
            if outcome == "started":
                self._start(firing)
        NOTIFICATIONS.labels(outcome).inc()
        log.info("%d alerts fire: %s", len(firing), outcome)
        return outcome

    def stop(self) -> None:
        """End what runs; its cool-down goes on."""
        with self._lock:
            if self._process is not None:
                self._process.terminate()

    def _decide(self, firing: list[str]) -> str:
        if not firing:
            return "resolved"
        if self._process is not None:
            return "running"
        if time.time() >= self._last["started"] + self._cool_down:
            return "started"
        return "known" if set(firing) <= set(self._last["firing"]) else "cooling down"

    def _start(self, firing: list[str]) -> None:
        self._remember({"firing": firing, "started": time.time(), "outcome": "started"})
        self._process = subprocess.Popen(self._command)
        RUNNING.set(1)
        STARTED.set(self._last["started"])
        threading.Thread(target=self._follow, args=[self._process], daemon=True).start()

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        outcome = "failed" if process.wait() else "succeeded"
        log.info("the command has %s with code %d", outcome, process.returncode)
        with self._lock:
            self._process = None
            self._remember(self._last | {"outcome": outcome})
        RUNNING.set(0)
        RUNS.labels(outcome).inc()

    def _remember(self, last: dict[str, Any]) -> None:
        self._last = last
        write_json(self._file, last)
