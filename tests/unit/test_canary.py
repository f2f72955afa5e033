"""The decision about a canary, by tables and by properties."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.canary import (
    LOOKS,
    Buckets,
    CanaryLimits,
    CanaryOutcome,
    PredictorTraffic,
    judge,
    more_frequent,
)

LIMITS = CanaryLimits()
PASSES, WORSE, UNDECIDED = CanaryOutcome
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, math.inf)


def traffic(
    requests: int, errors: int = 0, refusals: int = 0, slow: int = 0, **other
) -> PredictorTraffic:
    """Return single reviews answered within 2.5 ms, but for ``slow`` ones within 25 ms."""
    return PredictorTraffic(requests, errors, refusals, {"1": buckets(requests, slow)}, **other)


def buckets(requests: int, slow: int = 0) -> Buckets:
    quick = requests - slow
    latency = tuple((bound, requests if bound >= 0.025 else quick) for bound in BOUNDS[1:])
    return ((0.001, 0), *latency)


def mixed(**latency: tuple[int, int]) -> PredictorTraffic:
    """Return traffic of ``single`` reviews and ``batches``, each as (requests, slow ones)."""
    sizes = {"single": "1", "batches": "more", "unlabelled": ""}
    requests = sum(count for count, _ in latency.values())
    return PredictorTraffic(
        requests, latency={sizes[each]: buckets(*latency[each]) for each in latency}
    )


@pytest.mark.parametrize(
    ("canary", "outcome", "word"),
    [
        (traffic(500), PASSES, "0 errors of 500 against 4 of 4500"),
        (traffic(500, errors=4), PASSES, "4 errors"),
        (traffic(500, errors=6), WORSE, "6 errors of 500"),
        (traffic(500, refusals=12), PASSES, "12 refusals"),
        (traffic(500, refusals=25), WORSE, "25 refusals of 500 against 45 of 4500"),
        (traffic(500, slow=9), PASSES, "p99 not above 0.005 s for single reviews"),
        (traffic(500, slow=20), WORSE, "p99 of the latency above 0.005 s for single reviews"),
        (traffic(500, slow=290), WORSE, "p50 of the latency above 0.005 s"),
        (traffic(499), UNDECIDED, "the canary had 499 requests, fewer than 500"),
        (traffic(0), UNDECIDED, "the canary had 0 requests"),
        (PredictorTraffic(), UNDECIDED, "the canary had 0 requests"),
        (traffic(20, errors=20), WORSE, "20 errors of 20"),
        (traffic(500, restarts=1), WORSE, "restarted 1 times"),
        (traffic(500, unresponsive=True), WORSE, "does not answer Prometheus"),
    ],
)
def test_last_look_decides(canary: PredictorTraffic, outcome: CanaryOutcome, word: str):
    verdict = judge(traffic(4500, errors=4, refusals=45), canary, LIMITS, last=True)
    assert verdict.outcome is outcome
    assert word in verdict.reason


def test_prometheus_cut_off_from_both_decides_nothing():
    stable = traffic(4500, silent=True)
    verdict = judge(stable, traffic(500, silent=True), LIMITS, last=True)
    assert verdict.outcome is UNDECIDED
    assert verdict.reason == "neither predictor answers Prometheus"
    # what was seen before counts
    assert judge(stable, traffic(500, errors=9, silent=True), LIMITS, last=True).outcome is WORSE


@pytest.mark.parametrize(
    ("stable", "canary", "outcome", "word"),
    [
        # slow single reviews do not hide among batches, nor the other way round
        (
            mixed(single=(4500, 0), batches=(4500, 4500)),
            mixed(single=(500, 250), batches=(500, 500)),
            *(WORSE, "p99 of the latency above 0.005 s for single reviews"),
        ),
        (
            mixed(single=(45_000, 0), batches=(900, 0)),
            mixed(single=(5000, 0), batches=(100, 40)),
            *(WORSE, "p99 of the latency above 0.005 s for batches"),
        ),
        # a larger share of batches is not slowness
        (
            mixed(single=(4500, 0), batches=(500, 500)),
            mixed(single=(100, 0), batches=(400, 400)),
            *(PASSES, "p99 not above 0.005 s for single reviews"),
        ),
        # batches only
        (
            mixed(batches=(4500, 0)),
            mixed(batches=(500, 20)),
            *(WORSE, "p99 of the latency above 0.005 s for batches"),
        ),
        # too few of each, another mix, or a version without the label
        (
            mixed(single=(400, 0), batches=(400, 0)),
            mixed(single=(300, 10), batches=(300, 10)),
            *(WORSE, "p99 of the latency above 0.005 s for all requests"),
        ),
        (
            mixed(single=(4500, 0)),
            mixed(batches=(500, 500)),
            *(WORSE, "p99 of the latency above 0.005 s for all requests"),
        ),
        (
            mixed(unlabelled=(4500, 0)),
            mixed(single=(400, 0), batches=(100, 100)),
            *(WORSE, "p99 of the latency above 0.005 s for all requests"),
        ),
    ],
)
def test_sizes_are_compared_apart(
    stable: PredictorTraffic, canary: PredictorTraffic, outcome: CanaryOutcome, word: str
):
    verdict = judge(stable, canary, LIMITS, last=True)
    assert verdict.outcome is outcome
    assert word in verdict.reason


def test_early_looks_need_stronger_evidence():
    stable = traffic(4500, errors=4)
    assert judge(stable, traffic(500), LIMITS, last=False).outcome is UNDECIDED
    assert judge(stable, traffic(500, errors=6), LIMITS, last=False).outcome is UNDECIDED
    assert judge(stable, traffic(500, errors=9), LIMITS, last=False).outcome is WORSE


def test_idle_stable_predictor_is_undecided():
    verdict = judge(traffic(0), traffic(5000), LIMITS, last=True)
    assert verdict.outcome is UNDECIDED
    assert "the stable predictor had 0 requests" in verdict.reason


def test_common_faults_do_not_count():
    stable = traffic(4500, errors=2250, slow=4000)
    assert judge(stable, traffic(500, errors=250, slow=450), LIMITS, last=True).outcome is PASSES


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9])
def test_wider_margin_allows_more(share: float):
    canary = traffic(500, slow=round(500 * share))
    narrow = judge(traffic(4500), canary, LIMITS, last=True).outcome
    wide = judge(traffic(4500), canary, replace(LIMITS, margin=10), last=True).outcome
    assert wide is PASSES
    assert narrow is (PASSES if share == 0 else WORSE)


any_traffic = st.integers(0, 5000).flatmap(
    lambda requests: st.tuples(st.just(requests), *[st.integers(0, requests)] * 2).map(
        lambda n: traffic(n[0], errors=n[1], slow=n[2])
    )
)


@settings(max_examples=300, deadline=None)
@given(any_traffic, any_traffic, st.booleans())
def test_few_or_worse_requests_never_pass(
    stable: PredictorTraffic, canary: PredictorTraffic, last: bool
):
    verdict = judge(stable, canary, LIMITS, last)
    if verdict.outcome is PASSES:
        assert last
        assert min(stable.requests, canary.requests) >= LIMITS.min_requests
        args = (canary.errors, canary.requests, stable.errors, stable.requests)
        assert more_frequent(*args) >= LIMITS.alpha / 8
    worse = replace(canary, restarts=1)
    assert judge(stable, worse, LIMITS, last).outcome is WORSE


@settings(max_examples=200, deadline=None)
@given(any_traffic, any_traffic)
def test_more_errors_never_improve_verdict(stable: PredictorTraffic, canary: PredictorTraffic):
    more = replace(canary, errors=min(canary.errors + 50, canary.requests))
    if judge(stable, canary, LIMITS, True).outcome is WORSE:
        assert judge(stable, more, LIMITS, True).outcome is WORSE


def test_equal_canary_is_rarely_rejected():
    rng = np.random.default_rng(0)
    rejected, steps = 0, 300
    for _ in range(steps):
        shares = rng.multinomial(100, [0.9, 0.1], LOOKS)  # requests of each look
        failed = rng.binomial(shares, 0.02).cumsum(axis=0)
        slow = rng.binomial(shares, 0.009).cumsum(axis=0)
        total = shares.cumsum(axis=0)
        for look in range(LOOKS):
            stable, canary = (
                traffic(int(n), errors=int(bad), slow=int(late))
                for n, bad, late in zip(total[look], failed[look], slow[look], strict=True)
            )
            limits = replace(LIMITS, min_requests=50)
            verdict = judge(stable, canary, limits, last=look == LOOKS - 1)
            if verdict.outcome is WORSE:
                rejected += 1
                break
    assert rejected <= 0.02 * steps


def test_looks_for_want_of_requests_share_alpha():
    """Each repeated look used the level of the only one that decides."""
    stable, canary = traffic(4500, errors=4), traffic(400, errors=5)
    p = more_frequent(5, 400, 4, 4500)
    few, enough = LIMITS, replace(LIMITS, min_requests=400)
    assert LIMITS.looks == 60
    assert LIMITS.alpha / 4 / (2 * LIMITS.looks) < p < LIMITS.alpha / 4 / 2
    assert judge(stable, canary, few, last=True).outcome is UNDECIDED
    assert judge(stable, canary, enough, last=True).outcome is WORSE
