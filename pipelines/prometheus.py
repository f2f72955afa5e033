"""What Prometheus knows of two predictors side by side, counted from a moment on.

The counters are read as they are and subtracted: ``increase()`` estimates, and does not see the
first error of a pod, as a counter that comes to be at 1 has not grown.
"""

import logging
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import requests

from components.errors import StageError
from pipelines.canary import LOOKS, Limits, Outcome, Seen, Verdict, judge
from pipelines.overlay import NAMESPACE, State

_ENDPOINTS = ".+:predict|.+:explain|.+/infer"
_LOST = "5m"  # how long a pod that has gone is remembered
_SILENT = "30s"
_SECONDS = 10

log = logging.getLogger("deploy")

Labels = tuple[tuple[str, str], ...]


class Prometheus:
    """A Prometheus server; a bearer token for it can be in PROMETHEUS_TOKEN."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._session = requests.Session()
        if token := os.environ.get("PROMETHEUS_TOKEN"):
            self._session.headers["authorization"] = f"Bearer {token}"

    def ask(self, query: str) -> dict[Labels, float]:
        """Return the values of an instant query by their labels.

        Raises:
            StageError: there is no answer, or it is an error.
        """
        try:
            response = self._session.get(
                f"{self._address}/api/v1/query", params={"query": query}, timeout=_SECONDS
            )
            answer = response.json()
        except requests.RequestException as error:
            raise StageError(f"Prometheus at {self._address}: {error}") from error
        if answer["status"] != "success":
            raise StageError(f"Prometheus at {self._address}: {answer['error']}")
        return {
            tuple(sorted(each["metric"].items())): float(each["value"][1])
            for each in answer["data"]["result"]
        }


class Tally:
    """Counts what the predictors of these names do, from the first look on."""

    def __init__(self, prometheus: Prometheus, *predictors: str) -> None:
        self._prometheus = prometheus
        self._predictors = predictors
        self._matching = (
            f'job="sentiment",namespace="{NAMESPACE}",predictor=~"{"|".join(predictors)}"'
        )
        self._last: dict[str, dict[Labels, float]] = {}
        self._grown: dict[tuple[str, Labels], float] = defaultdict(float)
        self._restarts: dict[str, int] = defaultdict(int)

    def look(self) -> dict[str, Seen]:
        """Return what each predictor did since the first look."""
        # who is refused at the door has no endpoint but a method; probes and scrapes are GET
        posted = f'{self._matching},method="POST"'
        self._count("requests", f"last_over_time(app_request_count_total{{{posted}}}[{_LOST}])")
        timed = f'{self._matching},endpoint=~"{_ENDPOINTS}"'
        self._count(
            "latency", f"last_over_time(app_request_latency_seconds_bucket{{{timed}}}[{_LOST}])"
        )
        started = self._prometheus.ask(f"process_start_time_seconds{{{self._matching}}}")
        before = self._last.get("started", {})
        for labels, since in started.items():
            self._restarts[dict(labels)["predictor"]] += since != before.get(labels, since)
        self._last["started"] = before | started
        up = self._prometheus.ask(f"max_over_time(up{{{self._matching}}}[{_SILENT}])")
        silent = {dict(labels)["predictor"] for labels, value in up.items() if not value}
        return {each: self._seen(each, each in silent) for each in self._predictors}

    def _count(self, what: str, query: str) -> None:
        now = self._prometheus.ask(query)
        last = self._last.get(what)
        for labels, value in now.items():
            if last is not None:
                before = last.get(labels, 0.0)
                # a container that was restarted counts from zero again
                self._grown[what, labels] += value - before if value >= before else value
        self._last[what] = (last or {}) | now

    def _seen(self, predictor: str, silent: bool) -> Seen:
        by_status: dict[str, int] = defaultdict(int)
        by_bound: dict[float, int] = defaultdict(int)
        for (what, each), grown in self._grown.items():
            labels: dict[str, Any] = dict(each)
            if labels["predictor"] != predictor:
                continue
            if what == "latency":
                by_bound[float(labels["le"])] += round(grown)
            elif "status" not in labels:
                raise StageError(f"app_request_count_total of {predictor} has no label status")
            else:
                by_status[labels["status"][0]] += round(grown)
        latency = tuple(sorted(by_bound.items()))
        if latency and not math.isinf(latency[-1][0]):
            raise StageError(f"app_request_latency_seconds of {predictor} has no bucket +Inf")
        return Seen(
            requests=sum(by_status.values()),
            errors=by_status["5"],
            refusals=by_status["4"],
            latency=latency,
            restarts=self._restarts[predictor],
            silent=silent,
        )


def watch(
    prometheus: Prometheus,
    state: State,
    limits: Limits,
    check: Callable[[], None],
) -> Verdict:
    """Return the verdict on a canary once there is one; to have learned too little is none."""
    assert state.canary is not None  # noqa: S101 - mypy
    stable, new = state.stable.predictor, state.canary.predictor
    tally = Tally(prometheus, stable, new)
    began, verdict = time.monotonic(), Verdict(Outcome.UNKNOWN, "not looked yet")
    while (passed := time.monotonic() - began) <= limits.most:
        check()
        try:
            seen = tally.look()
            verdict = judge(seen[stable], seen[new], limits, last=passed >= limits.seconds)
        except StageError as error:
            verdict = Verdict(Outcome.UNKNOWN, str(error))
        if verdict.outcome is not Outcome.UNKNOWN:
            return verdict
        log.info("%d%% for %.0f s: %s", state.percent, passed, verdict.why)
        time.sleep(limits.seconds / LOOKS)
    return Verdict(verdict.outcome, f"after {limits.most:g} s, {verdict.why}", verdict.figures)
