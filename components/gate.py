"""Judge the challenger against the champion on the same test reviews. A refusal is no error."""

import argparse
import logging
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import fields
from itertools import chain, islice
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

import sentiment.model
from components import cli
from components.errors import UserError
from components.io import registry, reviews
from components.io.files import read_json, write_json
from components.io.models import load_model
from components.verdict import Limits, capabilities, first, paired
from sentiment import behaviour

log = logging.getLogger("gate")


def gate(name: str, version: str, test: Iterable[pd.DataFrame], limits: Limits) -> dict[str, Any]:
    """Return the verdict on ``version``: whether it passed, why, and the figures.

    ``champion`` is the version it was judged against. Both are read from the registry, as serving
    will read them. A refusal is recorded in the registry; it is promote that moves the champion.
    """
    with registry.connected() as client:
        challenger = client.get_model_version(name, version)
        champion = registry.alias_version(client, name, registry.CHAMPION)
        present = str(champion.version) if champion else registry.NONE
        judged = {"name": name, "version": version, "champion": present}
        if champion is not None and champion.version == challenger.version:
            why = f"version {version} is the champion already"
            return judged | {"passed": False, "outcome": "unchanged", "why": why, "figures": {}}
        models = [_load(client, each) for each in (challenger, champion) if each]
        labels, right = _score(models, test)
        if champion is None:
            verdict = first(labels, right[0], limits)
        else:
            behaves, behaved = map(_behave, models)
            verdict = paired(right[1], right[0], limits)
            verdict &= capabilities(behaved, behaves, limits)
        outcome = "passed" if verdict.passed else "refused"
        if not verdict.passed:
            decision = registry.Decision(outcome, present, version, verdict.why, verdict.figures)
            registry.decide(client, name, decision)
    return judged | {
        "passed": verdict.passed,
        "outcome": outcome,
        "why": verdict.why,
        "figures": verdict.figures,
    }


def _load(client: mlflow.MlflowClient, version: ModelVersion) -> Pipeline:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return load_model(registry.download(client, version, Path(scratch)))
        except UserError as error:
            raise UserError(
                f"version {version.version} cannot be read ({error}); if another release of this"
                " code made it, judge with that one, or take its alias away to begin anew"
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


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.gate", description=__doc__)
    parser.add_argument("--registered", required=True, type=Path, help="JSON file from register")
    parser.add_argument("--test", required=True, type=Path, help="directory from prepare")
    for field in fields(Limits):
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=float,
            default=field.default,
            help="default: %(default)s",
        )
    parser.add_argument("--verdict", required=True, type=Path, help="JSON file to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        registered = read_json(args.registered)
        limits = Limits(**{field.name: getattr(args, field.name) for field in fields(Limits)})
        test = reviews.labelled(args.test)
        verdict = gate(registered["name"], registered["version"], test, limits)
        write_json(args.verdict, verdict)
        log.info("version %(version)s %(outcome)s: %(why)s", verdict)

    return cli.run("gate", work)


if __name__ == "__main__":
    raise SystemExit(main())
