"""What two predictors did side by side, counted from a moment on, and the watch over it.

The counters are read as they are and subtracted: ``increase()`` estimates, and does not see the
first error of a pod, as a counter that comes to be at 1 has not grown.
"""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from components.errors import UserError
from deploy.canary import LOOKS, Limits, Outcome, Seen, Verdict, judge
from deploy.prometheus import Labels, Prometheus
from deploy.state import NAMESPACE, State

_ENDPOINTS = ".+:predict|.+:explain|.+/infer|.+/ModelInfer"
_LOST = "5m"  # how long a pod that has gone is remembered
_SILENT = 60.0  # seconds without an answer

log = logging.getLogger("deploy")


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
        self._down: dict[Labels, float] = {}

    def look(self) -> dict[str, Seen]:
        """Return what each predictor did since the first look."""
        # who is refused at the door has no endpoint but a method; a page that is not there is GET
        asked = f'{self._matching},endpoint=~"{_ENDPOINTS}|other",method=~"POST|gRPC"'
        self._count("requests", f"last_over_time(app_request_count_total{{{asked}}}[{_LOST}])")
        # refusals are quick, and say nothing of the model
        timed = f'{self._matching},endpoint=~"{_ENDPOINTS}",reviews!="none"'
        self._count(
            "latency", f"last_over_time(app_request_latency_seconds_bucket{{{timed}}}[{_LOST}])"
        )
        started = self._prometheus.ask(f"process_start_time_seconds{{{self._matching}}}")
        before = self._last.get("started", {})
        for labels, since in started.items():
            self._restarts[dict(labels)["predictor"]] += since != before.get(labels, since)
        self._last["started"] = before | started
        silent = self._silent(self._prometheus.ask(f"up{{{self._matching}}}"))
        return {each: self._seen(each, each in silent) for each in self._predictors}

    def _silent(self, up: dict[Labels, float]) -> set[str]:
        """Return the predictors of which a pod has not answered at all for a while.

        A pod may not have been scraped yet since it started, so a moment says nothing.
        """
        now = time.monotonic()
        down = (labels for labels, answered in up.items() if not answered)
        self._down = {labels: self._down.get(labels, now) for labels in down}
        return {
            dict(labels)["predictor"]
            for labels, since in self._down.items()
            if now - since >= _SILENT
        }

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
        by_bound: dict[str, dict[float, int]] = defaultdict(lambda: defaultdict(int))
        for (what, each), grown in self._grown.items():
            labels: dict[str, Any] = dict(each)
            if labels["predictor"] != predictor:
                continue
            if what == "latency":
                # a version from before there was this label has none
                by_bound[labels.get("reviews", "")][float(labels["le"])] += round(grown)
            elif "status" not in labels:
                raise UserError(f"app_request_count_total of {predictor} has no label status")
            else:
                by_status[labels["status"][0]] += round(grown)
        latency = {size: tuple(sorted(counts.items())) for size, counts in by_bound.items()}
        if any(not math.isinf(buckets[-1][0]) for buckets in latency.values()):
            raise UserError(f"app_request_latency_seconds of {predictor} has no bucket +Inf")
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
        except UserError as error:
            verdict = Verdict(Outcome.UNKNOWN, str(error))
        if verdict.outcome is not Outcome.UNKNOWN:
            return verdict
        log.info("%d%% for %.0f s: %s", state.percent, passed, verdict.why)
        time.sleep(limits.seconds / LOOKS)
    return Verdict(verdict.outcome, f"after {limits.most:g} s, {verdict.why}", verdict.figures)
