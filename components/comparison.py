"""Compare a challenger with the champion and the anchor on the same test reviews."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from components import guards
from components.behaviour import judging
from components.behaviour.judging import Behaviour
from components.report import measures
from components.verdict import Check, GateLimits, capabilities, floor, not_inferior, not_worse
from sentiment.model import class_names, probabilities


@dataclass(frozen=True)
class Tested:
    """A model and the classes that it answers, by their number in the test reviews; -1: in none."""

    model: Pipeline
    answers: NDArray[np.int8]

    @property
    def classes(self) -> set[str]:
        return set(class_names(self.model))


@dataclass(frozen=True)
class TestReviews:
    """The labels of the test reviews, the names of their classes, and which are of each slice."""

    classes: Sequence[str]
    labels: NDArray[np.int8]
    slices: dict[str, NDArray[np.bool_]]


def score(
    models: Sequence[Pipeline], test: Iterable[pd.DataFrame], classes: Sequence[str]
) -> tuple[TestReviews, list[Tested]]:
    """Return the test reviews, and what each model answers; memory keeps no texts.

    Classes are compared by name: a champion may have others than the challenger.
    """
    numbers = [
        np.array([classes.index(name) if name in classes else -1 for name in class_names(model)])
        for model in models
    ]
    tokenize = models[0]["ngrams"].tokenizer().tokenize
    labels, sources, lengths = list[NDArray[np.int8]](), list[str](), list[int]()
    answers: list[list[NDArray[np.int8]]] = [[] for _ in models]
    for table in test:
        labels.append(table["label"].to_numpy())
        sources += table["source"].tolist()
        lengths += [len(tokenize(text)) for text in table["text"]]
        for model, own, found in zip(models, numbers, answers, strict=True):
            found.append(own[probabilities(model, table["text"]).argmax(axis=1)].astype(np.int8))
    slices = measures.parts(sources, np.array(lengths, float))
    tested = [
        Tested(model, np.concatenate(found)) for model, found in zip(models, answers, strict=True)
    ]
    return TestReviews(classes, np.concatenate(labels), slices), tested


def compare(
    test: TestReviews,
    challenger: Tested,
    champion: Tested,
    anchor: Tested,
    limits: GateLimits,
    level: float,
) -> Check:
    """Check the challenger's answers: against the champion, and at ``level`` against the anchor.

    A model with other classes is never right about a class that it lacks. So it is compared with
    the challenger on the reviews of the classes of both. The floor holds for all reviews.
    """
    check = Check(True, "", {})
    if (pair := _both(test, champion, challenger)) is not None:
        check &= not_worse(*pair, limits)
    if (pair := _both(test, anchor, challenger)) is not None:
        check &= not_inferior(*pair, limits, level)
    least = floor(test.labels, challenger.answers == test.labels, limits)
    if challenger.classes != champion.classes:
        check &= least
        return replace(check, why=f"other classes than the champion's: {check.why}")
    before, after = (each.answers == test.labels for each in (champion, challenger))
    parts = {f"class {name}": test.labels == number for number, name in enumerate(test.classes)}
    parts = {name: inside for name, inside in (parts | test.slices).items() if inside.any()}
    right = {name: (before[inside], after[inside]) for name, inside in parts.items()}
    check &= guards.parts(right, limits)
    check &= guards.macro_f1(test.labels, champion.answers, challenger.answers, limits)
    return check & (replace(least, why="") if least.passed else least)


def _both(
    test: TestReviews, before: Tested, after: Tested
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Return whether each model is right, on the reviews of the classes that both have.

    Without such reviews it returns None.
    """
    shared = np.isin(np.array(test.classes)[test.labels], [*before.classes & after.classes])
    if not shared.any():
        return None
    labels = test.labels[shared]
    return before.answers[shared] == labels, after.answers[shared] == labels


def behave(behaviour: Behaviour, challenger: Tested, champion: Tested, limits: GateLimits) -> Check:
    """Check the challenger's behaviour against the champion's.

    ``behaviour`` is the challenger's: both models are asked by its suite, so that no results of
    different suites are compared, and only if evaluate found that the suite fits the challenger.
    """
    suite = behaviour.suite
    if suite is None or behaviour.unfit:
        return Check(True, f"no capability compared: {behaviour.unfit}", {})
    if not all(judging.has_classes_of(suite, each.model) for each in (challenger, champion)):
        return Check(True, "", {})
    before, after = (judging.outcomes(suite, each.model) for each in (champion, challenger))
    return capabilities(before, after, limits)


def on_labelled(
    challenger: Pipeline,
    champion: Pipeline,
    fresh: Iterable[pd.DataFrame],
    classes: Sequence[str],
) -> Check:
    """Report the accuracy on labelled predictions that neither model learned from.

    It passes always: their number grows with each label, and a small one decides nothing.
    """
    tables = [*fresh]
    if not tables:
        return Check(True, "", {})
    found, (after, before) = score([challenger, champion], tables, classes)
    new, old = (float((each.answers == found.labels).mean()) for each in (after, before))
    figures = {
        "labelled_rows": float(len(found.labels)),
        "labelled_challenger_accuracy": new,
        "labelled_champion_accuracy": old,
    }
    rows = len(found.labels)
    return Check(
        True, f"on {rows} labelled predictions accuracy {new:.4f} against {old:.4f}", figures
    )
