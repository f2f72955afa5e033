"""Ask a model about the cases of a suite, and say whether the suite is made for it."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.pipeline import Pipeline

from components.behaviour import reading
from components.behaviour.suite import Case, Suite
from components.io import records
from components.io.records import record
from components.report import languages
from components.report.languages import NAMES, Share
from sentiment.model import class_names, probabilities

_EXAMPLES = 3  # failures kept for each capability


@record
class Failure:
    """A case that failed: what was expected, and each text with the probability of that class."""

    expected: str
    answers: list[tuple[str, float]]


@record
class Capability:
    """The results of the cases of one capability."""

    capability: str
    cases: int
    passed: int
    failures: list[Failure] = Field(default_factory=list)


@record
class Behaviour:
    """What evaluate found by a suite, with the suite, so that the gate asks the same.

    ``unfit`` says why the model was not asked; the results are empty then.
    """

    name: str
    unfit: str | None = None
    language: str | None = None
    classes: tuple[str, ...] | None = None
    digest: str | None = None
    suite: Suite | None = None
    results: list[Capability] = Field(default_factory=list)


def judge(model: Pipeline, name: str, suite: Suite | None, found: Sequence[Share]) -> Behaviour:
    """Ask a model whose training reviews have the languages ``found``; ``name`` is the suite's."""
    if suite is None:
        return Behaviour(name, unfit=f"{reading.PARAMETER} is {reading.NONE}")
    unfit = _unfit(suite, name, class_names(model), found)
    results = [] if unfit else run(suite, model)
    return Behaviour(name, unfit, suite.language, suite.classes, suite.digest(), suite, results)


def of_findings(findings: dict[str, Any], where: str) -> Behaviour:
    """Return the behaviour among the findings of a version.

    Earlier releases wrote a list of results, of the cases that are the built-in suite today, and
    asked every model of its classes.

    Raises:
        UserError: they are damaged; the message begins with ``where``.
    """
    found = findings.get("behaviour", [])
    if isinstance(found, list):
        return Behaviour(reading.BUILTIN, suite=reading.read(reading.BUILTIN))
    return records.parse(found, Behaviour, where)


def has_classes_of(suite: Suite, model: Pipeline) -> bool:
    return set(class_names(model)) == set(suite.classes)


def _unfit(suite: Suite, name: str, classes: Sequence[str], found: Sequence[Share]) -> str | None:
    """Return why a suite is not made for a model, None if it is."""
    if set(suite.classes) != set(classes):
        own = ", ".join(suite.classes)
        return f"the suite {name} is of the classes {own}, the model of {', '.join(classes)}"
    if languages.main(found) != suite.language:
        own = NAMES[suite.language]
        return f"the suite {name} is in {own}, the training reviews in {languages.describe(found)}"
    return None


def answers(suite: Suite, model: Pipeline) -> Iterator[tuple[Case, NDArray[np.float64]]]:
    """Yield each case with the model's probabilities for its texts, shape (texts, classes)."""
    cases = list(suite.each_case())
    p = probabilities(model, chain.from_iterable(case.texts for case in cases))
    done = 0
    for case in cases:
        yield case, p[done : done + len(case.texts)]
        done += len(case.texts)


def outcomes(suite: Suite, model: Pipeline) -> dict[str, list[bool]]:
    """Return for each capability which of its cases pass, in the order of the suite."""
    classes, found = class_names(model), dict[str, list[bool]]()
    for case, p in answers(suite, model):
        found.setdefault(case.capability, []).append(case.passes(p, classes))
    return found


def run(suite: Suite, model: Pipeline) -> list[Capability]:
    """Return for each capability the numbers of cases and of passed cases, and some failures."""
    classes = class_names(model)
    passed, failures = dict[str, list[bool]](), dict[str, list[Failure]]()
    for case, p in answers(suite, model):
        right, examples = case.passes(p, classes), failures.setdefault(case.capability, [])
        passed.setdefault(case.capability, []).append(right)
        if not right and len(examples) < _EXAMPLES:
            examples.append(_failure(case, p, classes))
    return [Capability(name, len(each), sum(each), failures[name]) for name, each in passed.items()]


def _failure(case: Case, p: NDArray[np.float64], classes: Sequence[str]) -> Failure:
    named = [(word, case.expected_class(name)) for word, name in case.expect.named()]
    column = classes.index(named[0][1])
    shown = zip(case.texts, p[:, column].tolist(), strict=True)
    return Failure(
        ", ".join(" ".join(each) for each in named),
        [(text[:200], round(answer, 4)) for text, answer in shown],
    )
