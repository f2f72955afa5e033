"""Count requests, errors and latency of the stable and canary predictors during a rollout step.

Counters are read as they are and subtracted: ``increase()`` extrapolates, and misses the first
error of a pod, as a counter that appears with the value 1 has not grown.
"""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from components.errors import UnavailableError
from deploy.canary import (
    LOOKS,
    CanaryLimits,
    CanaryOutcome,
    CanaryVerdict,
    PredictorTraffic,
    judge,
)
from deploy.errors import UndecidedError
from deploy.gateways import GatewayQueries, queries
from deploy.overlay import Service, State
from deploy.prometheus import Labels, Prometheus

_ENDPOINTS = ".+:predict|.+:explain|.+/infer|.+/ModelInfer"
_RANGE = "5m"  # for which the last values of a pod that has ended still count
_UNRESPONSIVE_SECONDS = 60.0

log = logging.getLogger("deploy")


class TrafficCounter:
    """Counts what predictors of a service do, from the first reading on.

    ``gateway`` is one that :mod:`deploy.gateways` knows, or a query in its place, or empty.
    """

    def __init__(
        self, prometheus: Prometheus, service: Service, gateway: str, *predictors: str
    ) -> None:
        self._prometheus = prometheus
        self._predictors = predictors
        self._gateway = queries(gateway, service, *predictors)
        self._selector = (
            f'job="{service.name}",namespace="{service.namespace}",'
            f'predictor=~"{"|".join(predictors)}"'
        )
        self._last: dict[str, dict[Labels, float]] = {}
        self._grown: dict[tuple[str, Labels], float] = defaultdict(float)
        self._restarts: dict[str, int] = defaultdict(int)
        self._down_since: dict[Labels, float] = {}

    def read(self) -> dict[str, PredictorTraffic]:
        """Return what each predictor did since the first reading.

        Raises:
            UnavailableError: Prometheus does not answer.
            UndecidedError: a predictor's metrics lack what the decision needs.
        """
        # requests that were refused before routing have a method and the endpoint "other"; a page
        # that does not exist is asked for by GET
        requests = f'{self._selector},endpoint=~"{_ENDPOINTS}|other",method=~"POST|gRPC"'
        # refusals are quick, and say nothing about the model
        timed = f'{self._selector},endpoint=~"{_ENDPOINTS}",reviews!="none"'
        ask = self._prometheus.ask
        counts = ask(f"last_over_time(app_request_count_total{{{requests}}}[{_RANGE}])")
        buckets = ask(f"last_over_time(app_request_latency_seconds_bucket{{{timed}}}[{_RANGE}])")
        starts = ask(f"process_start_time_seconds{{{self._selector}}}")
        up = ask(f"up{{{self._selector}}}")
        if self._gateway:
            self._count_gateway(self._gateway)
        self._count("requests", counts)
        self._count("latency", buckets)
        self._count_restarts(starts)
        silent, unresponsive = self._silent(up)
        return {
            each: replace(
                self._traffic(each), silent=each in silent, unresponsive=each in unresponsive
            )
            for each in self._predictors
        }

    def _count(self, metric: str, now: dict[Labels, float]) -> None:
        last = self._last.get(metric)
        for labels, value in now.items():
            if last is not None:
                before = last.get(labels, 0.0)
                # a restarted container counts from zero again
                self._grown[metric, labels] += value - before if value >= before else value
        self._last[metric] = (last or {}) | now

    def _count_gateway(self, gateway: GatewayQueries) -> None:
        errors = self._prometheus.ask(gateway.errors)
        if gateway.requests and not self._prometheus.ask(f"count({gateway.requests})"):
            raise UndecidedError(
                f"Prometheus has no {gateway.requests}, so errors of the gateway would not be seen;"
                " does it scrape the gateway?"
            )
        self._count("gateway", errors)

    def _count_restarts(self, starts: dict[Labels, float]) -> None:
        before = self._last.get("starts", {})
        for labels, start in starts.items():
            self._restarts[dict(labels)["predictor"]] += start != before.get(labels, start)
        self._last["starts"] = before | starts

    def _silent(self, up: dict[Labels, float]) -> tuple[set[str], set[str]]:
        """Return the predictors with a pod that failed its last scrape, and all for a minute.

        One failed scrape proves nothing: Prometheus may not have scraped a new pod yet. The minute
        starts again while every predictor has such a pod, as Prometheus itself may be cut off.
        """
        now = time.monotonic()
        down = [labels for labels, answered in up.items() if not answered]
        silent = {dict(labels)["predictor"] for labels in down}
        known = {} if silent == set(self._predictors) else self._down_since
        self._down_since = {labels: known.get(labels, now) for labels in down}
        return silent, {
            dict(labels)["predictor"]
            for labels, since in self._down_since.items()
            if now - since >= _UNRESPONSIVE_SECONDS
        }

    def _traffic(self, predictor: str) -> PredictorTraffic:
        by_status: dict[str, int] = defaultdict(int)
        by_gateway = 0
        by_bound: dict[str, dict[float, int]] = defaultdict(lambda: defaultdict(int))
        for (metric, series), grown in self._grown.items():
            labels: dict[str, Any] = dict(series)
            if labels["predictor"] != predictor:
                continue
            if metric == "latency":
                # versions older than the label ``reviews`` have none
                by_bound[labels.get("reviews", "")][float(labels["le"])] += round(grown)
            elif metric == "gateway":
                by_gateway += round(grown)
            elif "status" not in labels:
                raise UndecidedError(f"app_request_count_total of {predictor} has no label status")
            else:
                by_status[labels["status"][0]] += round(grown)
        latency = {size: tuple(sorted(counts.items())) for size, counts in by_bound.items()}
        if any(not math.isinf(buckets[-1][0]) for buckets in latency.values()):
            raise UndecidedError(f"app_request_latency_seconds of {predictor} has no bucket +Inf")
        # the gateway's responses include the predictor's
        by_status["5"] = max(by_status["5"], by_gateway)
        return PredictorTraffic(
            requests=sum(by_status.values()),
            errors=by_status["5"],
            refusals=by_status["4"],
            latency=latency,
            restarts=self._restarts[predictor],
        )


def watch_canary(
    prometheus: Prometheus,
    service: Service,
    state: State,
    limits: CanaryLimits,
    require_lease: Callable[[], None],
    gateway: str = "",
) -> CanaryVerdict:
    """Return the verdict on a canary as soon as there is one, or that there is too little evidence.

    Raises:
        UnavailableError: Prometheus did not answer for as long as a step lasts.
    """
    assert state.canary is not None  # noqa: S101 - mypy
    stable, canary = state.stable.name, state.canary.name
    counter = TrafficCounter(prometheus, service, gateway, stable, canary)
    start = last_reading = time.monotonic()
    verdict = CanaryVerdict(CanaryOutcome.UNDECIDED, "Prometheus was not asked yet")
    while (passed := time.monotonic() - start) <= limits.max_seconds:
        require_lease()
        try:
            traffic = counter.read()
            last_reading = time.monotonic()
            last = passed >= limits.seconds
            verdict = judge(traffic[stable], traffic[canary], limits, last)
        except UndecidedError as error:
            verdict = CanaryVerdict(CanaryOutcome.UNDECIDED, str(error))
        except UnavailableError as error:
            if time.monotonic() - last_reading > limits.seconds:
                raise
            log.info("%s; asking again in %g s", error, limits.seconds / LOOKS)
        if verdict.outcome is not CanaryOutcome.UNDECIDED:
            return verdict
        log.info("%d%% for %.0f s: %s", state.percent, passed, verdict.reason)
        time.sleep(limits.seconds / LOOKS)
    reason = f"after {limits.max_seconds:g} s, {verdict.reason}"
    return CanaryVerdict(verdict.outcome, reason, verdict.figures)
