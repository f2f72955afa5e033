"""The latencies of two predictors, compared as far as histograms go."""

import math
from collections import Counter
from collections.abc import Mapping

from scipy.stats import binomtest

# by the label ``reviews`` of app_request_latency_seconds
SIZES = {"1": "single reviews", "more": "batches"}

# for each upper bound in seconds, the last of which is infinite, the requests that took no longer
Buckets = tuple[tuple[float, int], ...]


def compared(
    stable: Mapping[str, Buckets], canary: Mapping[str, Buckets], fewest: int
) -> dict[str, tuple[Buckets, Buckets]]:
    """Return what is to be compared, the stable predictor's first, by what it is of.

    Batches take longer by nature: a canary that happens to get more of them is no slower for it,
    and what is slow for single reviews must not hide among them. So the two are compared apart,
    each where the stable predictor has answered ``fewest``; if it has of neither, all together.
    """
    apart = {
        which: (stable[size], canary[size])
        for size, which in SIZES.items()
        if total(stable.get(size, ())) >= fewest and total(canary.get(size, ()))
    }
    if apart:
        return apart
    together = _merged(stable), _merged(canary)
    enough = total(together[0]) >= fewest and total(together[1])
    return {"all requests": together} if enough else {}


def total(buckets: Buckets) -> int:
    return buckets[-1][1] if buckets else 0


def slower(stable: Buckets, canary: Buckets, quantile: float, margin: float) -> tuple[float, float]:
    """Return the p-value that the canary's quantile is within the margin, and the bound it is.

    The bound is that of a bucket, as more is not known: the least that leaves the margin above the
    bucket in which the stable predictor has its quantile.
    """
    reached = next(bound for bound, count in stable if count >= quantile * total(stable))
    allowed, within = next(each for each in canary if each[0] >= margin * reached)
    if math.isinf(allowed):
        return 1.0, math.inf
    of = total(canary)
    return float(binomtest(of - within, of, 1 - quantile, "greater").pvalue), allowed


def _merged(latency: Mapping[str, Buckets]) -> Buckets:
    merged: Counter[float] = Counter()
    for buckets in latency.values():
        merged.update(dict(buckets))
    return tuple(sorted(merged.items()))
