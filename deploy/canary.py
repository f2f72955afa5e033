"""The decision about a canary: is it worse than the stable predictor beside it?

Both answer the same kind of requests at the same time, so what they have in common, be it a bad
hour or bad callers, speaks against neither.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import product

from scipy.stats import fisher_exact

from deploy.latency import Buckets, compared, slower

LOOKS = 10  # at a step, the last of which decides
QUANTILES = (0.5, 0.99)


class Outcome(Enum):
    HOLDS = "holds"
    WORSE = "is worse"
    UNKNOWN = "is not known well enough"


@dataclass(frozen=True)
class Limits:
    """What a canary must show at each step.

    ``requests`` that it and the stable predictor must have answered; ``alpha``, the chance that
    one as good as the stable predictor is refused all the same; ``margin``, by which a quantile of
    its latency may be larger; ``seconds`` that a step lasts, and ``most`` that it may last until
    there are enough requests.
    """

    requests: int = 500
    alpha: float = 0.01
    margin: float = 1.5
    seconds: float = 300
    most: float = 1800


@dataclass(frozen=True)
class Seen:
    """What a predictor did meanwhile.

    ``errors`` are answers of status 5xx, ``refusals`` of 4xx; ``latency`` is by the number of
    reviews in a request, as the metric has it.
    """

    requests: int = 0
    errors: int = 0
    refusals: int = 0
    latency: Mapping[str, Buckets] = field(default_factory=dict)
    restarts: int = 0
    silent: bool = False


@dataclass(frozen=True)
class Verdict:
    outcome: Outcome
    why: str
    figures: dict[str, float] = field(default_factory=dict)


def judge(stable: Seen, canary: Seen, limits: Limits, last: bool) -> Verdict:
    """Compare a canary with the stable predictor in the same time.

    Before the ``last`` look it can only be found worse, and as there are more of these looks, each
    asks for more evidence. It never holds without enough requests to judge by.
    """
    if canary.silent:
        return Verdict(Outcome.WORSE, "the canary does not answer Prometheus")
    if canary.restarts:
        return Verdict(Outcome.WORSE, f"the canary was restarted, {canary.restarts} times")
    latencies = compared(stable.latency, canary.latency, limits.requests)
    tests = 2 + len(latencies) * len(QUANTILES)
    level = limits.alpha / tests / (2 if last else 2 * LOOKS)
    figures = {"requests": float(canary.requests), "stable_requests": float(stable.requests)}
    said: list[str] = []
    worse: list[str] = []
    for kind in ("errors", "refusals"):
        ours, theirs = getattr(canary, kind), getattr(stable, kind)
        p = more_often(ours, canary.requests, theirs, stable.requests)
        text = f"{ours} {kind} of {canary.requests} against {theirs} of {stable.requests}"
        figures |= {kind: float(ours), f"stable_{kind}": float(theirs), f"{kind}_p": p}
        (worse if p < level else said).append(f"{text}, p {p:.2g}")
    for (which, (theirs, ours)), quantile in product(latencies.items(), QUANTILES):
        p, bound = slower(theirs, ours, quantile, limits.margin)
        name = f"p{quantile * 100:.0f}"
        figures[f"{name}_{which.replace(' ', '_')}_p"] = p
        if p < level:
            worse.append(f"{name} of the latency above {bound:g} s for {which}, p {p:.2g}")
        elif not math.isinf(bound):
            said.append(f"{name} not above {bound:g} s for {which}")
    if worse:
        return Verdict(Outcome.WORSE, "; ".join(worse), figures)
    fewest = min(canary.requests, stable.requests)
    if fewest < limits.requests:
        whose = "canary" if fewest == canary.requests else "stable predictor"
        why = f"the {whose} had {fewest} requests, fewer than {limits.requests}"
        return Verdict(Outcome.UNKNOWN, why, figures)
    return Verdict(Outcome.HOLDS if last else Outcome.UNKNOWN, "; ".join(said), figures)


def more_often(ours: int, of: int, theirs: int, of_theirs: int) -> float:
    """Return the p-value of Fisher's exact test that something befalls us no more than them."""
    table = [[ours, of - ours], [theirs, of_theirs - theirs]]
    return float(fisher_exact(table, alternative="greater").pvalue)
