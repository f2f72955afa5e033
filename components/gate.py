"""Judge the challenger against the champion on the same test reviews.

A refusal is an outcome, not an error: the exit code is 0.
"""

import logging
import tempfile
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

import sentiment.model
from components import stage
from components.errors import UserError
from components.io import killed, records, registry, reviews
from components.io.models import load_model
from components.io.registry import Registered
from components.stage import Artifact
from components.verdict import GateLimits, GateVerdict, capabilities, first, paired
from sentiment import behaviour

log = logging.getLogger("gate")


def gate(name: str, version: str, test: Iterable[pd.DataFrame], limits: GateLimits) -> GateVerdict:
    """Return the verdict on ``version``.

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
        models = [_load(client, each) for each in (challenger, champion) if each]
        labels, right = _score(models, test)
        if champion is None:
            check = first(labels, right[0], limits)
        else:
            after, before = map(_behave, models)
            check = paired(right[1], right[0], limits)
            check &= capabilities(before, after, limits)
        if check.passed:
            return GateVerdict(name, version, current, "passed", True, check.why, check.figures)
        decision = registry.Decision("refused", current, version, check.why, check.figures)
        registry.decide(client, name, decision)
    return GateVerdict(name, version, current, "refused", False, check.why, check.figures)


def _load(client: mlflow.MlflowClient, version: ModelVersion) -> Pipeline:
    number = version.version
    with tempfile.TemporaryDirectory() as scratch:
        folder = registry.download(client, version, Path(scratch))
        try:
            return load_model(folder)
        except UserError as error:
            raise UserError(
                f"version {number} cannot be read ({error}); if another release of this code made"
                " it, judge with that release, or make a version of this release the champion:"
                " python -m components.promote --rollback --to VERSION --why REASON"
            ) from error


def _score(
    models: Sequence[Pipeline], test: Iterable[pd.DataFrame]
) -> tuple[NDArray[np.int8], list[NDArray[np.bool_]]]:
    """Return the labels, and for each model whether it gets each review right."""
    labels: list[NDArray[np.int8]] = []
    right: list[list[NDArray[np.bool_]]] = [[] for _ in models]
    for table in test:
        labels.append(table["label"].to_numpy())
        for model, found in zip(models, right, strict=True):
            p = sentiment.model.probabilities(model, table["text"])
            found.append((p > 0.5) == (labels[-1] == 1))
        log.info("%d reviews scored", sum(map(len, labels)))
    return np.concatenate(labels), [np.concatenate(found) for found in right]


def _behave(model: Pipeline) -> dict[str, list[bool]]:
    """Return for each capability which of its cases pass, in the order of the suite."""
    suite = list(behaviour.cases())
    texts = chain.from_iterable(case.texts for case in suite)
    p = iter(sentiment.model.probabilities(model, texts).tolist())
    outcomes: dict[str, list[bool]] = {}
    for case in suite:
        passed = case.passes(*islice(p, len(case.texts)))
        outcomes.setdefault(case.capability, []).append(passed)
    return outcomes


def run(
    registered: Annotated[Path, Artifact("JSON file from register")],
    test: Annotated[Path, Artifact("directory from prepare", "Dataset")],
    verdict: Annotated[Path, Artifact("JSON file to write", output=True)],
    limits: GateLimits,
) -> None:
    challenger = records.read(registered, Registered)
    found = gate(challenger.name, challenger.version, reviews.labelled(test), limits)
    records.write(verdict, found)
    log.info("version %s %s: %s", found.version, found.outcome, found.why)


def main(argv: list[str] | None = None) -> int:
    return stage.main("gate", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
