"""The steps of explanations, the estimate of their work, and the budget."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import sentiment.model
from sentiment import ngram_keys
from sentiment.explanation import Explainer
from sentiment.model import parameters
from sentiment.steps import STEP, finish
from sentiment.tokens import tokenize
from serving import explanations, work
from serving.errors import OverloadError
from serving.explanations import Options
from serving.work import BUDGET, Budget

SIZE = 100_000  # characters, the most that a review may have
KINDS = {
    "words": "this film was not very good, but i loved the acting. ",
    "marks": "!",
    "emoji": "😀",
    "han": "電影很好",
    "thai": "ดีมาก",
    "cyrillic": "это очень хороший фильм ",
    "combining": "é à ",
    "joiners": "a\u200d ",
    "unclosed tags": "<a",
}
LARGEST = 20_000  # units: a pass over all characters, or sorting the n-grams of all
ALL_KINDS = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.fixture(scope="module")
def explainer():
    texts = [*KINDS.values(), "! ! !", "😀 😀 😀", "a dull film"] * 2
    labels = [number % 2 for number in range(len(texts))]
    return Explainer(parameters(sentiment.model.build().fit(texts, labels)))


def repeat(kind: str) -> str:
    return (kind * SIZE)[:SIZE]


def steps(explainer: Explainer, text: str, tokens: bool = True):
    return explanations.steps(explainer, ("negative", "positive"), [text], Options(100, tokens))


@ALL_KINDS
def test_no_step_is_long(explainer, kind):
    sizes = list(steps(explainer, repeat(kind)))
    assert max(sizes) <= LARGEST
    assert len(sizes) >= sum(sizes) / LARGEST


@ALL_KINDS
def test_work_of_a_step_is_what_it_says(explainer, kind, monkeypatch):
    """Between two steps, as many tokens are located and as many n-grams are looked up at most."""
    done = 0
    locate, positions = explainer._locate, ngram_keys.positions

    def count_located(text: str) -> Iterator:
        nonlocal done
        for token in locate(text):
            done += 1
            yield token

    def count_looked_up(keys, kept):
        nonlocal done
        done += len(keys)
        return positions(keys, kept)

    monkeypatch.setattr(explainer, "_locate", count_located)
    monkeypatch.setattr(ngram_keys, "positions", count_looked_up)
    text, total = repeat(kind), 0
    for _ in steps(explainer, text):
        assert done <= STEP
        total, done = total + done, 0
    assert total >= 2 * len(tokenize(text))


@ALL_KINDS
@pytest.mark.parametrize("tokens", [False, True])
def test_charge_is_the_work(explainer, kind, tokens):
    text = repeat(kind)
    done = sum(steps(explainer, text, tokens))
    assert 0.6 < work.of_explanation([text], tokens) / done < 1.4


@ALL_KINDS
def test_tokens_are_counted_without_the_tokenizer(kind):
    text = repeat(kind)
    assert work.count_tokens([text]) == pytest.approx(len(tokenize(text)), rel=0.02)


def test_an_explanation_is_charged_more_than_a_prediction():
    for kind in KINDS.values():
        texts = [repeat(kind)]
        assert work.of_explanation(texts, tokens=True) > 1.5 * work.of_prediction(texts)


def test_steps_give_the_same_as_one_piece(explainer):
    text = "".join(KINDS.values()) * 100
    stepwise, whole = finish(explainer.steps(text, 100)), explainer.explain(text, 100)
    assert stepwise.shares.tolist() == whole.shares.tolist()
    assert stepwise.log_odds == whole.log_odds
    assert len(whole.shares) > STEP


def refused(budget: Budget, large: bool, explain: bool) -> bool:
    try:
        budget.check(large, explain)
    except OverloadError:
        return True
    return False


def test_explanations_are_refused_first():
    kinds = [(True, True), (False, True), (True, False), (False, False)]
    expected = {
        0: [False, False, False, False],
        BUDGET // 4: [True, False, False, False],
        BUDGET // 2: [True, True, True, False],
        BUDGET: [True, True, True, True],
    }
    for queued, refusals in expected.items():
        budget = Budget()
        with budget.charge(queued, large=False):
            assert [refused(budget, *kind) for kind in kinds] == refusals


def test_work_beyond_the_budget_is_refused_until_it_is_done():
    budget, admitted = Budget(), []
    with ExitStack() as stack:
        with pytest.raises(OverloadError):
            while True:
                charge = budget.charge(BUDGET // 10, large=True, explain=True)
                admitted.append(stack.enter_context(charge))
        assert len(admitted) == 3  # the last may exceed the budget
        admitted[0].spend(BUDGET // 10)
        assert not refused(budget, large=True, explain=True)


def test_the_largest_request_alone_is_admitted():
    with Budget().charge(10 * BUDGET, large=True, explain=True) as charge:
        assert charge.left == 10 * BUDGET


def test_charge_ends_with_the_request():
    budget = Budget()
    with pytest.raises(ZeroDivisionError), budget.charge(1000, large=True) as charge:
        charge.spend(300)
        assert budget.queued == 700
        charge.spend(10**9)  # the estimate was too low
        assert budget.queued == 0
        1 / 0  # noqa: B018
    assert budget.queued == 0


@pytest.mark.parametrize(("seconds", "retry_after"), [(1e-7, 1), (8e-7, 4), (1e-4, 10)])
def test_retry_is_due_when_the_queue_is_empty(seconds, retry_after):
    budget = Budget()
    for _ in range(1000):
        budget.measure(1_000_000, seconds * 1_000_000)
    with budget.charge(BUDGET, large=True), pytest.raises(OverloadError) as refusal:
        budget.check(large=True, explain=True)
    assert refusal.value.retry_after == retry_after
