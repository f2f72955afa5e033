"""The decision about a canary, by tables and by properties."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.canary import LOOKS, Limits, Outcome, Seen, judge, more_often
from deploy.latency import Buckets

LIMITS = Limits()
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, math.inf)


def seen(requests: int, errors: int = 0, refusals: int = 0, slow: int = 0, **other) -> Seen:
    """Answers to single reviews within 2.5 ms but for ``slow``, which took up to 25 ms."""
    return Seen(requests, errors, refusals, {"1": buckets(requests, slow)}, **other)


def buckets(requests: int, slow: int = 0) -> Buckets:
    quick = requests - slow
    latency = tuple((bound, requests if bound >= 0.025 else quick) for bound in BOUNDS[1:])
    return ((0.001, 0), *latency)


def mixed(**latency: tuple[int, int]) -> Seen:
    """Answers, and how many of them were slow, to ``single`` reviews and to ``batches``."""
    sizes = {"single": "1", "batches": "more", "unlabelled": ""}
    requests = sum(answered for answered, _ in latency.values())
    return Seen(requests, latency={sizes[each]: buckets(*latency[each]) for each in latency})


@pytest.mark.parametrize(
    ("canary", "outcome", "word"),
    [
        (seen(500), Outcome.HOLDS, "0 errors of 500 against 4 of 4500"),
        (seen(500, errors=4), Outcome.HOLDS, "4 errors"),
        (seen(500, errors=6), Outcome.WORSE, "6 errors of 500"),
        (seen(500, refusals=12), Outcome.HOLDS, "12 refusals"),
        (seen(500, refusals=25), Outcome.WORSE, "25 refusals of 500 against 45 of 4500"),
        (seen(500, slow=9), Outcome.HOLDS, "p99 not above 0.005 s for single reviews"),
        (seen(500, slow=20), Outcome.WORSE, "p99 of the latency above 0.005 s for single reviews"),
        (seen(500, slow=290), Outcome.WORSE, "p50 of the latency above 0.005 s"),
        (seen(499), Outcome.UNKNOWN, "the canary had 499 requests, fewer than 500"),
        (seen(0), Outcome.UNKNOWN, "the canary had 0 requests"),
        (Seen(), Outcome.UNKNOWN, "the canary had 0 requests"),
        (seen(20, errors=20), Outcome.WORSE, "20 errors of 20"),
        (seen(500, restarts=1), Outcome.WORSE, "restarted, 1 times"),
        (seen(500, silent=True), Outcome.WORSE, "does not answer Prometheus"),
    ],
)
def test_the_last_look(canary: Seen, outcome: Outcome, word: str):
    verdict = judge(seen(4500, errors=4, refusals=45), canary, LIMITS, last=True)
    assert (verdict.outcome, word in verdict.why) == (outcome, True), verdict


@pytest.mark.parametrize(
    ("stable", "canary", "outcome", "word"),
    [
        # by one review and by more apart, so that neither hides behind the other
        (
            mixed(single=(4500, 0), batches=(4500, 4500)),
            mixed(single=(500, 250), batches=(500, 500)),
            *(Outcome.WORSE, "p99 of the latency above 0.005 s for single reviews"),
        ),
        (
            mixed(single=(45_000, 0), batches=(900, 0)),
            mixed(single=(5000, 0), batches=(100, 40)),
            *(Outcome.WORSE, "p99 of the latency above 0.005 s for batches"),
        ),
        # more batches than the other are no slowness
        (
            mixed(single=(4500, 0), batches=(500, 500)),
            mixed(single=(100, 0), batches=(400, 400)),
            *(Outcome.HOLDS, "p99 not above 0.005 s for single reviews"),
        ),
        # nothing but batches
        (
            mixed(batches=(4500, 0)),
            mixed(batches=(500, 20)),
            *(Outcome.WORSE, "p99 of the latency above 0.005 s for batches"),
        ),
        # too few of each, a mix that is not the same, or a version that does not tell them apart
        (
            mixed(single=(400, 0), batches=(400, 0)),
            mixed(single=(300, 10), batches=(300, 10)),
            *(Outcome.WORSE, "p99 of the latency above 0.005 s for all requests"),
        ),
        (
            mixed(single=(4500, 0)),
            mixed(batches=(500, 500)),
            *(Outcome.WORSE, "p99 of the latency above 0.005 s for all requests"),
        ),
        (
            mixed(unlabelled=(4500, 0)),
            mixed(single=(400, 0), batches=(100, 100)),
            *(Outcome.WORSE, "p99 of the latency above 0.005 s for all requests"),
        ),
    ],
)
def test_single_reviews_and_batches_are_compared_apart(
    stable: Seen, canary: Seen, outcome: Outcome, word: str
):
    verdict = judge(stable, canary, LIMITS, last=True)
    assert (verdict.outcome, word in verdict.why) == (outcome, True), verdict


def test_a_look_before_the_last_asks_for_more_and_never_lets_pass():
    stable = seen(4500, errors=4)
    assert judge(stable, seen(500), LIMITS, last=False).outcome is Outcome.UNKNOWN
    assert judge(stable, seen(500, errors=6), LIMITS, last=False).outcome is Outcome.UNKNOWN
    assert judge(stable, seen(500, errors=9), LIMITS, last=False).outcome is Outcome.WORSE


def test_a_stable_predictor_without_requests_is_nothing_to_compare_with():
    verdict = judge(seen(0), seen(5000), LIMITS, last=True)
    assert verdict.outcome is Outcome.UNKNOWN
    assert "the stable predictor had 0 requests" in verdict.why


def test_what_befalls_both_speaks_against_neither():
    stable = seen(4500, errors=2250, slow=4000)
    assert (
        judge(stable, seen(500, errors=250, slow=450), LIMITS, last=True).outcome is Outcome.HOLDS
    )


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9])
def test_a_wider_margin_allows_more(share: float):
    canary = seen(500, slow=round(500 * share))
    narrow = judge(seen(4500), canary, LIMITS, last=True).outcome
    wide = judge(seen(4500), canary, replace(LIMITS, margin=10), last=True).outcome
    assert wide is Outcome.HOLDS
    assert narrow is (Outcome.HOLDS if share == 0 else Outcome.WORSE)


answered = st.integers(0, 5000).flatmap(
    lambda requests: st.tuples(st.just(requests), *[st.integers(0, requests)] * 2).map(
        lambda n: seen(n[0], errors=n[1], slow=n[2])
    )
)


@settings(max_examples=300, deadline=None)
@given(answered, answered, st.booleans())
def test_nothing_holds_that_has_few_requests_or_is_worse(stable: Seen, canary: Seen, last: bool):
    verdict = judge(stable, canary, LIMITS, last)
    if verdict.outcome is Outcome.HOLDS:
        assert last
        assert min(stable.requests, canary.requests) >= LIMITS.requests
        args = (canary.errors, canary.requests, stable.errors, stable.requests)
        assert more_often(*args) >= LIMITS.alpha / 8
    worse = replace(canary, restarts=1)
    assert judge(stable, worse, LIMITS, last).outcome is Outcome.WORSE


@settings(max_examples=200, deadline=None)
@given(answered, answered)
def test_more_errors_never_make_a_verdict_better(stable: Seen, canary: Seen):
    more = replace(canary, errors=min(canary.errors + 50, canary.requests))
    if judge(stable, canary, LIMITS, True).outcome is Outcome.WORSE:
        assert judge(stable, more, LIMITS, True).outcome is Outcome.WORSE


def test_one_as_good_is_seldom_refused_though_it_is_looked_at_again_and_again():
    rng = np.random.default_rng(0)
    refused, steps = 0, 300
    for _ in range(steps):
        shares = rng.multinomial(100, [0.9, 0.1], LOOKS)  # requests of each look
        failed = rng.binomial(shares, 0.02).cumsum(axis=0)
        slow = rng.binomial(shares, 0.009).cumsum(axis=0)
        total = shares.cumsum(axis=0)
        for look in range(LOOKS):
            stable, canary = (
                seen(int(n), errors=int(bad), slow=int(late))
                for n, bad, late in zip(total[look], failed[look], slow[look], strict=True)
            )
            few = replace(LIMITS, requests=50)
            verdict = judge(stable, canary, few, last=look == LOOKS - 1)
            if verdict.outcome is Outcome.WORSE:
                refused += 1
                break
    assert refused <= 0.02 * steps
