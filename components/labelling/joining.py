"""Join labels with the predictions that they are for, and resolve those that contradict."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from components.labelling.captured import Feedback, Prediction
from components.labelling.estimate import Cell, accuracy, ratio
from components.labelling.labels import Label
from components.labelling.live import Interval, LiveAccuracy
from components.labelling.queues import Queue, Stratum

Key = tuple[str, int]


@dataclass(frozen=True)
class Resolved:
    """The label of each prediction, and how many have labels that contradict each other."""

    labels: dict[Key, Label]
    contradicted: int
    repeated: int


def resolve(found: Iterable[Label]) -> Resolved:
    """Return one label for each prediction.

    Of several labels by one person the latest counts. Of several persons the majority decides;
    without one the prediction has no label.
    """
    latest: dict[Key, dict[str | None, Label]] = defaultdict(dict)
    repeated = 0
    for label in found:
        own = latest[label.request_id, label.index]
        before = own.get(label.by)
        repeated += before is not None
        if before is None or (label.at or "") >= (before.at or ""):
            own[label.by] = label
    labels, contradicted = {}, 0
    for key, by_person in latest.items():
        counted = Counter(each.label for each in by_person.values()).most_common()
        if len(counted) > 1 and counted[0][1] == counted[1][1]:
            contradicted += 1
            continue
        labels[key] = next(each for each in by_person.values() if each.label == counted[0][0])
    return Resolved(labels, contradicted, repeated)


def estimates(queue: Queue, labels: dict[Key, Label]) -> list[LiveAccuracy]:
    """Return what the labels of a queue say of each version in it that has one."""
    found = []
    for version in sorted({stratum.version for stratum in queue.strata}):
        numbers = [n for n, each in enumerate(queue.strata) if each.version == version]
        answered = [
            (item, labels[item.request_id, item.index].label)
            for item in queue.items
            if item.stratum in numbers and (item.request_id, item.index) in labels
        ]
        right = Counter((i.stratum, i.predicted) for i, label in answered if i.predicted == label)
        counted = Counter((item.stratum, item.predicted) for item, _ in answered)
        strata = {number: queue.strata[number] for number in numbers}
        whole = accuracy([_cell(n, each, counted, right) for n, each in strata.items()])
        if whole is None:
            continue
        precision = {
            name: accuracy([_cell(n, each, counted, right, name) for n, each in strata.items()])
            for name in queue.classes
        }
        recall = {}
        for name in queue.classes:
            of_class = [item for item, label in answered if label == name]
            weights = [_weight(queue, item.stratum, counted) for item in of_class]
            recall[name] = ratio([item.predicted == name for item in of_class], weights)
        found.append(
            LiveAccuracy(
                version=version,
                since=queue.since,
                until=queue.until,
                captured=sum(stratum.captured for stratum in strata.values()),
                accuracy=whole,
                precision=_known(precision),
                recall=_known(recall),
            )
        )
    return found


def _known(found: dict[str, Interval | None]) -> dict[str, Interval]:
    return {name: each for name, each in found.items() if each is not None}


def _cell(
    number: int,
    stratum: Stratum,
    counted: Counter[tuple[int, str]],
    right: Counter[tuple[int, str]],
    predicted: str | None = None,
) -> Cell:
    """Return the cell of a stratum, or of its predictions of one class."""
    names = stratum.predicted if predicted is None else [predicted]
    return Cell(
        captured=sum(stratum.predicted.get(name, 0) for name in names),
        labels=sum(counted[number, name] for name in names),
        right=sum(right[number, name] for name in names),
        sample=stratum.sample,
    )


def _weight(queue: Queue, number: int, counted: Counter[tuple[int, str]]) -> float:
    """Return the predictions served that a label of this stratum stands for."""
    stratum = queue.strata[number]
    labels = sum(counted[number, name] for name in stratum.predicted)
    return stratum.captured / stratum.sample / labels


@dataclass(frozen=True)
class Joined:
    """Feedback with its predictions, and how much of it has none."""

    pairs: list[tuple[Feedback, Prediction]]
    not_captured: int


def join(feedback: Iterable[Feedback], predictions: Iterable[Prediction]) -> Joined:
    """Return feedback with the prediction that it names.

    An id that names several texts names none.
    """
    by_key: dict[Key, list[Feedback]] = defaultdict(list)
    for each in feedback:
        by_key[each.request_id, each.index].append(each)
    found: dict[Key, Prediction] = {}
    ambiguous: set[Key] = set()
    for prediction in predictions:
        key = prediction.key
        if key in by_key:
            other = found.setdefault(key, prediction)
            if (other.text, other.version) != (prediction.text, prediction.version):
                ambiguous.add(key)
    pairs = [
        (each, found[key])
        for key, given in by_key.items()
        if key in found and key not in ambiguous
        for each in given
    ]
    return Joined(pairs, sum(map(len, by_key.values())) - len(pairs))
