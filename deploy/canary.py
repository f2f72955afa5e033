"""Decide whether a canary is worse than the stable predictor beside it.

Both answer the same kind of requests at the same time, so what affects both alike (a busy hour,
faulty clients) does not count against either.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import product

from scipy.stats import binomtest, fisher_exact

LOOKS = 10  # during ``seconds`` of a step; none before their end can pass the canary
QUANTILES = (0.5, 0.99)
# by the label ``reviews`` of app_request_latency_seconds
SIZES = {"1": "single reviews", "more": "batches"}

# for each upper bound in seconds, the last of which is infinite, the requests that took no longer
Buckets = tuple[tuple[float, int], ...]


class CanaryOutcome(Enum):
    PASSES = "passes"
    WORSE = "is worse"
    UNDECIDED = "is undecided"


@dataclass(frozen=True)
class CanaryLimits:
    """Limits of the checks of a canary at each step.

    ``min_requests`` that the canary and the stable predictor must each have answered; ``alpha``,
    the probability of rejecting a canary that is as good as the stable predictor; ``margin``, the
    factor by which a quantile of the canary's latency may be larger; ``seconds`` that a step
    lasts, and ``max_seconds`` that it may last while there are too few requests.
    """

    min_requests: int = 500
    alpha: float = 0.01
    margin: float = 1.5
    seconds: float = 300
    max_seconds: float = 1800

    @property
    def looks(self) -> int:
        """Return how many looks a step can have before the one that decides."""
        return math.ceil(LOOKS * self.max_seconds / self.seconds)


@dataclass(frozen=True)
class PredictorTraffic:
    """Traffic of one predictor since the start of a step.

    ``errors`` are responses of status 5xx, ``refusals`` of 4xx; ``latency`` is keyed by the label
    ``reviews`` of the metric; ``silent`` if a pod did not answer Prometheus the last time,
    ``unresponsive`` if for a minute in which the other predictor did.
    """

    requests: int = 0
    errors: int = 0
    refusals: int = 0
    latency: Mapping[str, Buckets] = field(default_factory=dict)
    restarts: int = 0
    silent: bool = False
    unresponsive: bool = False


@dataclass(frozen=True)
class CanaryVerdict:
    outcome: CanaryOutcome
    reason: str
    figures: dict[str, float] = field(default_factory=dict)


def judge(
    stable: PredictorTraffic, canary: PredictorTraffic, limits: CanaryLimits, last: bool
) -> CanaryVerdict:
    """Compare a canary with the stable predictor over the same time.

    Half of ``alpha`` is for the look that decides: the first at the end of the step, or after it
    (``last``), that has enough requests. The looks before it can only find the canary worse, and
    share the other half. A canary never passes with too few requests.
    """
    if canary.unresponsive:
        return CanaryVerdict(CanaryOutcome.WORSE, "the canary does not answer Prometheus")
    if canary.restarts:
        return CanaryVerdict(CanaryOutcome.WORSE, f"the canary restarted {canary.restarts} times")
    latencies = comparable(stable.latency, canary.latency, limits.min_requests)
    tests = 2 + len(latencies) * len(QUANTILES)
    fewest = min(canary.requests, stable.requests)
    decides = last and fewest >= limits.min_requests
    level = limits.alpha / tests / (2 if decides else 2 * limits.looks)
    figures = {"requests": float(canary.requests), "stable_requests": float(stable.requests)}
    passed: list[str] = []
    worse: list[str] = []
    for kind in ("errors", "refusals"):
        count, stable_count = getattr(canary, kind), getattr(stable, kind)
        p = more_frequent(count, canary.requests, stable_count, stable.requests)
        text = f"{count} {kind} of {canary.requests} against {stable_count} of {stable.requests}"
        figures |= {kind: float(count), f"stable_{kind}": float(stable_count), f"{kind}_p": p}
        (worse if p < level else passed).append(f"{text}, p {p:.2g}")
    for (size, histograms), quantile in product(latencies.items(), QUANTILES):
        p, bound = slower(*histograms, quantile, limits.margin)
        name = f"p{quantile * 100:.0f}"
        figures[f"{name}_{size.replace(' ', '_')}_p"] = p
        if p < level:
            worse.append(f"{name} of the latency above {bound:g} s for {size}, p {p:.2g}")
        elif not math.isinf(bound):
            passed.append(f"{name} not above {bound:g} s for {size}")
    if worse:
        return CanaryVerdict(CanaryOutcome.WORSE, "; ".join(worse), figures)
    if canary.silent and stable.silent:
        reason = "neither predictor answers Prometheus"
        return CanaryVerdict(CanaryOutcome.UNDECIDED, reason, figures)
    if fewest < limits.min_requests:
        predictor = "canary" if fewest == canary.requests else "stable predictor"
        reason = f"the {predictor} had {fewest} requests, fewer than {limits.min_requests}"
        return CanaryVerdict(CanaryOutcome.UNDECIDED, reason, figures)
    outcome = CanaryOutcome.PASSES if last else CanaryOutcome.UNDECIDED
    return CanaryVerdict(outcome, "; ".join(passed), figures)


def more_frequent(canary: int, requests: int, stable: int, stable_requests: int) -> float:
    """Return the p-value, by Fisher's exact test, that the canary has no more than its share."""
    table = [[canary, requests - canary], [stable, stable_requests - stable]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def comparable(
    stable: Mapping[str, Buckets], canary: Mapping[str, Buckets], min_requests: int
) -> dict[str, tuple[Buckets, Buckets]]:
    """Return the latency histograms to compare, (stable, canary), by request size.

    Batches take longer than single reviews. Comparing each size apart keeps a canary with more
    batches from looking slow, and slow single reviews from hiding among batches. A size counts if
    the stable predictor answered ``min_requests`` of it; if neither size does, both are merged.
    """
    apart = {
        name: (stable[size], canary[size])
        for size, name in SIZES.items()
        if total(stable.get(size, ())) >= min_requests and total(canary.get(size, ()))
    }
    if apart:
        return apart
    together = _merged(stable), _merged(canary)
    enough = total(together[0]) >= min_requests and total(together[1])
    return {"all requests": together} if enough else {}


def total(buckets: Buckets) -> int:
    return buckets[-1][1] if buckets else 0


def slower(stable: Buckets, canary: Buckets, quantile: float, margin: float) -> tuple[float, float]:
    """Return the p-value that the canary's quantile is within a bound, and the bound in seconds.

    The bound is the upper edge of a bucket: the smallest that is at least ``margin`` times the
    edge of the bucket with the stable predictor's quantile.
    """
    base = next(bound for bound, count in stable if count >= quantile * total(stable))
    bound, within = next(bucket for bucket in canary if bucket[0] >= margin * base)
    if math.isinf(bound):
        return 1.0, math.inf
    requests = total(canary)
    return float(binomtest(requests - within, requests, 1 - quantile, "greater").pvalue), bound


def _merged(latency: Mapping[str, Buckets]) -> Buckets:
    merged: Counter[float] = Counter()
    for buckets in latency.values():
        merged.update(dict(buckets))
    return tuple(sorted(merged.items()))
