"""The gate on a real registry: the anchor, the level of each look, and looks that are repeated."""

import pytest

from components import gate, promote, register
from components.io import looks, registry, reviews
from components.io.files import read_json
from components.io.looks import Look
from components.io.registry import Decision, Registered
from components.verdict import GateLimits
from tests.conftest import Trained

LIMITS = GateLimits(min_accuracy=0.5)
DIGEST = "of the test reviews"


@pytest.fixture
def versions(own_registry, trained, trained_worse) -> list[Registered]:
    """Register the same model, a worse one and the first again, under digests of their own."""
    found = []
    for number, each in enumerate((trained_worse, trained, trained_worse)):
        metrics, findings = read_json(each.metrics), read_json(each.findings)
        digest = f"{number}"
        made, _ = register.register(each.model, metrics, findings, each.plots, digest, "sentiment")
        found.append(Registered("sentiment", made.version, "", "", DIGEST))
    return found


def judged(version: Registered, trained: Trained):
    return gate.gate(version, [reviews.read(trained.test)], LIMITS)


def past() -> list[Look]:
    with registry.connected() as client:
        return looks.read(client, "sentiment", DIGEST)


def test_the_best_version_stays_the_anchor(versions, trained):
    worse, better, worse_again = versions
    first = judged(worse, trained)
    assert (first.anchor, first.look, past()) == ("none", 0, [])
    promote.promote(first)

    second = judged(better, trained)
    assert (second.outcome, second.anchor, second.look) == ("passed", "1", 1)
    assert past() == [Look("2", "1", 1, second.figures["level"], passed=True, better=True)]
    promote.promote(second)
    promote.rollback("sentiment", "1", "as good as the worse one to callers")

    third = judged(worse_again, trained)
    assert third.outcome == "refused"
    assert third.anchor == "2"
    assert third.why.startswith("may be worse than the best version by more than the margin")
    assert third.figures["level"] > second.figures["level"]  # the look before it passed


def test_a_repeated_look_spends_nothing(versions, trained):
    promote.promote(judged(versions[1], trained))
    first = judged(versions[0], trained)
    assert first.outcome == "refused"
    assert judged(versions[0], trained) == first
    assert len(past()) == 1
    second = judged(versions[2], trained)
    assert (second.look, len(past())) == (2, 2)
    assert second.figures["level"] < first.figures["level"]


def test_a_deleted_anchor_is_replaced_by_the_champion(versions, trained, caplog):
    promote.promote(judged(versions[0], trained))
    promote.promote(judged(versions[1], trained))
    promote.rollback("sentiment", "1", "why not")
    with registry.connected() as client:
        client.delete_model_version("sentiment", "2")
    verdict = judged(versions[2], trained)
    assert (verdict.outcome, verdict.anchor) == ("passed", "1")
    assert "version 2, the best on these test reviews, was deleted" in caplog.text


def test_new_test_reviews_are_asked_for(versions, trained):
    promote.promote(judged(versions[1], trained))
    few = reviews.read(trained.test)[:100]
    verdict = gate.gate(versions[0], [few], LIMITS)
    assert verdict.advice.startswith("new test reviews are due: after 1 looks at these 100, the")


def test_a_version_that_was_rolled_back_is_not_compared_with_itself(versions, trained):
    promote.promote(judged(versions[0], trained))
    promote.promote(judged(versions[1], trained))
    promote.rollback("sentiment", "1", "why not")
    again = judged(versions[1], trained)
    assert (again.outcome, again.anchor, again.look) == ("passed", "1", 1)


def test_any_name_of_a_source_can_be_judged(versions, trained):
    promote.promote(judged(versions[1], trained))
    table = reviews.read(trained.test).assign(source="reviews (1): été?")
    assert gate.gate(versions[0], [table], LIMITS).outcome == "refused"


def test_a_capability_may_have_any_name(versions):
    figures = {"négation (2)?_passed": 0.5}
    with registry.connected() as client:
        registry.decide(client, "sentiment", Decision("refused", "1", "2", "lost", figures))
        (run,) = registry.records(client, "sentiment")
    assert run.data.metrics == {"négation _2___passed": 0.5}
