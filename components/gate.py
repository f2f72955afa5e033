"""Judge the challenger against the champion on the same test reviews.

A refusal is an outcome, not an error: the exit code is 0.
"""

import logging
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from components import stage
from components.behaviour import judging
from components.behaviour.judging import Behaviour
from components.errors import UserError
from components.io import killed, records, registry, reviews
from components.io.files import read_json
from components.io.models import load_model
from components.io.registry import Registered
from components.report import sample_size
from components.stage import Artifact
from components.verdict import Check, GateLimits, GateVerdict, capabilities, first, paired
from sentiment.model import class_names, probabilities
from sentiment.store import FINDINGS_FILE

log = logging.getLogger("gate")


def gate(
    name: str,
    version: str,
    test: Iterable[pd.DataFrame],
    limits: GateLimits,
    classes: Sequence[str] = reviews.CLASSES,
) -> GateVerdict:
    """Return the verdict on ``version``; ``classes`` are those of the labels of ``test``.

    Both models are read from the registry, as serving will read them. A refusal is recorded in the
    registry here; a promotion is recorded by promote, which moves the alias.
    """
    with registry.connected() as client:
        killed.close_records(client, name)
        challenger = registry.find_version(client, name, version)
        champion = registry.champion(client, name)
        current = str(champion.version) if champion else registry.NONE
        if champion is not None and champion.version == challenger.version:
            why = f"version {version} is the champion already"
            return GateVerdict(name, version, current, "unchanged", False, why, {})
        loaded = [_load(client, each) for each in (challenger, champion) if each]
        models = [model for model, _ in loaded]
        behaviour = judging.of_findings(loaded[0][1], f"version {version}: {FINDINGS_FILE}")
        labels, right = _score(models, test, classes)
        check = _judge(models, labels, right, classes, limits, behaviour)
        if check.passed:
            return GateVerdict(name, version, current, "passed", True, check.why, check.figures)
        decision = registry.Decision("refused", current, version, check.why, check.figures)
        registry.decide(client, name, decision)
    return GateVerdict(name, version, current, "refused", False, check.why, check.figures)


def _judge(
    models: Sequence[Pipeline],
    labels: NDArray[np.int8],
    right: Sequence[NDArray[np.bool_]],
    classes: Sequence[str],
    limits: GateLimits,
    behaviour: Behaviour,
) -> Check:
    """Check the challenger, the first of the models, against the champion if there is one.

    ``behaviour`` is the challenger's: both models are asked by its suite, so that no results of
    different suites are compared, and only if evaluate found that the suite fits the challenger.

    A champion with other classes is never right about a class that it lacks. So the challenger
    must pass as a first version does, and it is compared on the reviews of the classes of both.
    """
    names = [set(class_names(model)) for model in models]
    if len(models) == 1:
        return first(labels, right[0], limits)
    if names[0] == names[1]:
        check = paired(right[1], right[0], limits)
    else:
        check = first(labels, right[0], limits)
        shared = np.isin(np.array(classes)[labels], [*names[0] & names[1]])
        if shared.any():
            check &= paired(right[1][shared], right[0][shared], limits)
        check = replace(check, why=f"other classes than the champion's: {check.why}")
    suite = behaviour.suite
    if suite is None or behaviour.unfit:
        check = replace(check, why=f"{check.why}; no capability compared: {behaviour.unfit}")
    elif all(judging.has_classes_of(suite, model) for model in models):
        after, before = (judging.outcomes(suite, model) for model in models)
        check &= capabilities(before, after, limits)
    return check


def _load(client: mlflow.MlflowClient, version: ModelVersion) -> tuple[Pipeline, dict[str, Any]]:
    """Return the model of a version, and its findings; none if it has no file of them."""
    number = version.version
    with tempfile.TemporaryDirectory() as scratch:
        folder = registry.download(client, version, Path(scratch))
        try:
            findings = folder / FINDINGS_FILE
            return load_model(folder), read_json(findings) if findings.exists() else {}
        except UserError as error:
            raise UserError(
                f"version {number} cannot be read ({error}); if another release of this code made"
                " it, judge with that release, or make a version of this release the champion:"
                " python -m components.promote --rollback --to VERSION --why REASON"
            ) from error


def _score(
    models: Sequence[Pipeline], test: Iterable[pd.DataFrame], classes: Sequence[str]
) -> tuple[NDArray[np.int8], list[NDArray[np.bool_]]]:
    """Return the labels, and for each model whether it gets each review right.

    Classes are compared by name: a champion may have others than the challenger.
    """
    wanted, names = np.array(classes), [np.array(class_names(model)) for model in models]
    labels: list[NDArray[np.int8]] = []
    right: list[list[NDArray[np.bool_]]] = [[] for _ in models]
    for table in test:
        labels.append(table["label"].to_numpy())
        for model, own, found in zip(models, names, right, strict=True):
            most = probabilities(model, table["text"]).argmax(axis=1)
            found.append(own[most] == wanted[labels[-1]])
        log.info("%d reviews scored", sum(map(len, labels)))
    return np.concatenate(labels), [np.concatenate(found) for found in right]


def run(
    registered: Annotated[Path, Artifact("JSON file from register")],
    test: Annotated[Path, Artifact("directory from prepare", "Dataset")],
    verdict: Annotated[Path, Artifact("JSON file to write", output=True)],
    limits: GateLimits,
) -> None:
    challenger = records.read(registered, Registered)
    tables, classes = reviews.labelled(test), reviews.classes(test)
    found = gate(challenger.name, challenger.version, tables, limits, classes)
    records.write(verdict, found)
    log.info("version %s %s: %s", found.version, found.outcome, found.why)
    rows = sum(map(reviews.rows, reviews.shards(test)))
    disagreement = found.figures.get("disagreement", sample_size.USUAL_DISAGREEMENT)
    log.info("%s", sample_size.describe(rows, disagreement))


def main(argv: list[str] | None = None) -> int:
    return stage.main("gate", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
