"""The draw of predictions to label: its sizes, its probabilities, what counts as drifted."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.labelling import sampling
from components.labelling.captured import Prediction
from components.labelling.sampling import DRIFTED, OTHER, UNCERTAIN
from components.queue import AMBIGUOUS, FOREIGN, REPEATED, UNNAMED, Population, draw, population
from sentiment import drift

CLASSES = ["negative", "positive"]


def predicted(request_id: str, text: str = "text", p: float = 0.9, **given) -> Prediction:
    values = {"version": "1", "time": f"2026-01-01T00:00:{request_id:0>2}+00:00"} | given
    label = CLASSES[p >= 0.5]
    return Prediction(
        text=text,
        label=label,
        probabilities={"negative": 1 - p, "positive": p},
        request_id=request_id,
        **values,
    )


@given(
    st.lists(st.tuples(st.integers(1, 500), st.booleans()), min_size=1, max_size=8),
    st.integers(8, 800),
)
def test_all_labels_are_allocated_and_no_stratum_is_left_out(strata, labels):
    sizes, favoured = zip(*strata, strict=True)
    drawn = sampling.allocate(sizes, favoured, labels)
    assert sum(drawn) == min(labels, sum(sizes))
    assert all(1 <= number <= size for number, size in zip(drawn, sizes, strict=True))


def test_favoured_strata_get_two_fifths_more():
    assert sampling.allocate([100, 100, 800], [True, True, False], 200) == [52, 52, 96]
    assert sampling.allocate([100, 900], [True, False], 200) == [56, 144]  # a fifth alone
    assert sampling.allocate([500, 500], [False, False], 200) == [100, 100]


def test_labels_that_a_small_stratum_does_not_need_go_to_the_others():
    assert sampling.allocate([5, 995], [True, False], 200) == [5, 195]


def test_fewer_labels_than_strata_go_to_the_largest():
    assert sampling.allocate([10, 30, 20], [False] * 3, 2) == [0, 1, 1]


def test_tenth_with_the_lowest_probability_is_uncertain():
    confidence = np.linspace(0.5, 1, 40)
    over = np.arange(40) % 2 == 0
    kinds = sampling.kinds(confidence, over)
    assert kinds[:4].tolist() == [UNCERTAIN] * 4
    assert kinds[4:8].tolist() == [DRIFTED, OTHER, DRIFTED, OTHER]


def test_texts_of_an_overfull_bin_have_drifted():
    random = np.random.default_rng(0)
    lengths, unknown = random.uniform(100, 300, 5_000), random.uniform(0, 0.1, 5_000)
    reference = drift.reference(drift.statistics(np.full((5_000, 2), 0.5), lengths, unknown))
    found = {"length": np.append(lengths[:800], np.full(200, 5.0)), "unknown": unknown[:1_000]}
    over = sampling.drifted(reference, found)
    assert over[800:].all()
    assert over[:800].mean() < 0.2  # those of the same decile of lengths
    assert not sampling.drifted(reference, {"length": lengths, "unknown": unknown}).any()


def test_every_prediction_is_drawn_as_often_as_its_probability_says():
    predictions = [predicted(str(n), p=0.5 + n / 100) for n in range(50)]
    over = np.arange(50) % 5 == 4
    drawn: Counter[str] = Counter()
    for seed in range(2_000):
        queue = draw("m", Population(predictions, {}), over, CLASSES, 20, seed)
        drawn.update(item.request_id for item in queue.items)
    expected = {item.request_id: item.probability for item in queue.items}
    for request_id, probability in expected.items():
        spread = (probability * (1 - probability) / 2_000) ** 0.5
        assert abs(drawn[request_id] / 2_000 - probability) < 5 * spread + 1e-9


def test_probability_includes_that_of_being_captured():
    predictions = [predicted(str(n), sample=0.1 if n < 30 else 1.0) for n in range(60)]
    queue = draw("m", Population(predictions, {}), np.zeros(60, bool), CLASSES, 30, 0)
    for item in queue.items:
        stratum = queue.strata[item.stratum]
        assert item.probability == stratum.sample * stratum.drawn / stratum.captured
    assert {stratum.sample for stratum in queue.strata} == {0.1, 1.0}
    assert sum(stratum.captured for stratum in queue.strata) == 60
    assert all(sum(each.predicted.values()) == each.captured for each in queue.strata)


def test_order_of_a_queue_tells_nothing_of_the_strata():
    predictions = [predicted(str(n), p=0.5 + n / 1_000) for n in range(400)]
    firsts = []
    for seed in range(200):
        queue = draw("m", Population(predictions, {}), np.zeros(400, bool), CLASSES, 100, seed)
        kinds = [queue.strata[item.stratum].kind for item in queue.items]
        firsts.append(kinds[:50].count(UNCERTAIN) / kinds.count(UNCERTAIN))
    assert 0.47 < np.mean(firsts) < 0.53


def test_versions_are_strata_of_their_own():
    predictions = [predicted(str(n), version=str(1 + n % 2)) for n in range(100)]
    queue = draw("m", Population(predictions, {}), np.zeros(100, bool), CLASSES, 40, 0)
    by_version = Counter(queue.strata[item.stratum].version for item in queue.items)
    assert by_version == {"1": 20, "2": 20}


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ([predicted("", "no id")], UNNAMED),
        ([predicted("7", "seven"), predicted("7", "seven")], REPEATED),
        ([predicted("7", "seven"), predicted("7", "another")], AMBIGUOUS),
        ([predicted("7", "seven"), predicted("7", "seven", version="2")], AMBIGUOUS),
        (
            [Prediction("1", "2026-01-02", "t", "good", {"good": 0.6, "bad": 0.4}, "8")],
            FOREIGN,
        ),
    ],
)
def test_predictions_that_cannot_be_drawn_are_counted(others, reason):
    found = population(iter([predicted("1"), predicted("2"), *others]), "", 100, CLASSES)
    assert reason in found.skipped
    named = {each.request_id for each in found.predictions}
    assert named == ({"1", "2", "7"} if reason == REPEATED else {"1", "2"})


def test_population_is_the_newest_after_a_moment():
    newest_first = [predicted(str(n)) for n in range(9, 0, -1)]
    found = population(iter(newest_first), newest_first[6].time, 4, CLASSES)
    assert [each.request_id for each in found.predictions] == ["9", "8", "7", "6"]
    found = population(iter(newest_first), newest_first[2].time, 4, CLASSES)
    assert [each.request_id for each in found.predictions] == ["9", "8"]
