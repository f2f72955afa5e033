"""Live accuracy from the labels of a queue: estimate, interval, classes, contradicting labels."""

import numpy as np
import pytest

from components.labelling import joining
from components.labelling.captured import Feedback, Prediction
from components.labelling.estimate import Cell, accuracy, ratio
from components.labelling.labels import Label
from components.labelling.queues import Item, Queue, Stratum


def test_each_stratum_counts_by_its_share_of_the_predictions():
    found = accuracy([Cell(900, 50, 50), Cell(100, 50, 25)])
    assert found.value == pytest.approx(0.9 + 0.1 * 0.5)
    assert found.low < found.value < found.high
    assert found.labels == 100


def test_share_captured_counts():
    found = accuracy([Cell(100, 50, 50, sample=0.1), Cell(1000, 50, 0, sample=1.0)])
    assert found.value == pytest.approx(0.5)


def test_nothing_is_uncertain_when_all_is_labelled():
    found = accuracy([Cell(80, 80, 60), Cell(20, 20, 20)])
    assert (found.value, found.low, found.high) == (0.8, 0.8, 0.8)


def test_capturing_a_part_is_uncertain_even_if_all_of_it_is_labelled():
    found = accuracy([Cell(100, 100, 80, sample=0.1)])
    assert 0.70 < found.low < 0.74
    assert 0.85 < found.high < 0.89


def test_stratum_without_labels_may_be_all_wrong_or_all_right():
    known = accuracy([Cell(900, 100, 90)])
    found = accuracy([Cell(900, 100, 90), Cell(100, 0, 0)])
    assert found.value == 0.9
    assert found.low == pytest.approx(known.low * 0.9)
    assert found.high == pytest.approx(known.high * 0.9 + 0.1)


def test_no_label_gives_no_estimate():
    assert accuracy([Cell(900, 0, 0)]) is None
    assert accuracy([]) is None
    assert ratio([], []) is None


@pytest.mark.parametrize("sample", [1.0, 0.2])
def test_interval_covers_the_truth(sample):
    """The benchmark replays real predictions; here 3,000 runs on made-up ones."""
    random = np.random.default_rng(0)
    sizes, chances, drawn = np.array([400, 1_000, 2_600]), (0.6, 0.85, 0.97), (60, 60, 80)
    covered = 0
    for _ in range(3_000):
        right = [random.random(size) < chance for size, chance in zip(sizes, chances, strict=True)]
        cells = []
        for own, number in zip(right, drawn, strict=True):
            captured = own[random.random(len(own)) < sample]
            labels = random.choice(captured, min(number, len(captured)), replace=False)
            cells.append(Cell(len(captured), len(labels), int(labels.sum()), sample))
        found = accuracy(cells)
        covered += found.low <= np.concatenate(right).mean() <= found.high
    assert 0.93 < covered / 3_000 < 0.97


def test_ratio_weighs_labels():
    found = ratio([True, False], [3.0, 1.0])
    assert found.value == 0.75
    assert found.low < 0.75 < found.high
    assert ratio([True] * 100, [1.0] * 100).low > 0.95


def queue_of(*predicted: str) -> Queue:
    items = [Item(f"r{n}", 0, 0, 0.5, label, f"text {n}") for n, label in enumerate(predicted)]
    counted = {name: 2 * predicted.count(name) for name in {*predicted}}
    stratum = Stratum("3", "other", 1.0, 2 * len(items), len(items), counted)
    return Queue("m", "a", "b", 0, ["negative", "positive"], [stratum], items, {})


def label(number: int, name: str, by: str | None = None, at: str | None = None) -> Label:
    return Label(f"r{number}", 0, name, by, at)


def test_estimates_by_class():
    queue = queue_of("positive", "positive", "negative", "negative")
    labels = joining.resolve([label(0, "positive"), label(1, "negative"), label(2, "negative")])
    (found,) = joining.estimates(queue, labels.labels)
    assert found.version == "3"
    assert found.accuracy.value == pytest.approx(2 / 3)
    assert found.precision["positive"].value == 0.5
    assert found.precision["negative"].value == 1.0
    assert found.recall["positive"].value == 1.0
    assert found.recall["negative"].value == 0.5
    assert found.captured == 8


def test_queue_without_labels_gives_no_estimate():
    assert joining.estimates(queue_of("positive"), {}) == []


def test_latest_label_of_a_person_counts():
    first, second = label(0, "positive", "1", "2026-01-01"), label(0, "negative", "1", "2026-01-02")
    for order in ([first, second], [second, first]):
        found = joining.resolve(order)
        assert found.labels == {("r0", 0): second}
        assert found.repeated == 1


def test_majority_of_persons_decides():
    votes = [label(0, "positive", "1"), label(0, "negative", "2"), label(0, "negative", "3")]
    assert joining.resolve(votes).labels[("r0", 0)].label == "negative"
    tied = joining.resolve(votes[:2])
    assert tied.labels == {}
    assert tied.contradicted == 1


def test_feedback_is_joined_by_id_and_index():
    def prediction(text: str, index: int, version: str = "1") -> Prediction:
        return Prediction(version, "t", text, "positive", {"positive": 1.0}, "a", index)

    given = [Feedback("a", 0, "positive", "t"), Feedback("b", 0, "positive", "t")]
    found = joining.join(given, [prediction("zero", 0), prediction("one", 1)])
    assert [(each.request_id, hit.text) for each, hit in found.pairs] == [("a", "zero")]
    assert found.not_captured == 1
    repeated = joining.join(given, [prediction("zero", 0), prediction("zero", 0)])
    assert len(repeated.pairs) == 1
    ambiguous = joining.join(given, [prediction("zero", 0), prediction("other", 0)])
    assert ambiguous.pairs == []
    assert ambiguous.not_captured == 2
