"""Make the challenger the champion if it is not worse, or move the champion back."""

import argparse
import logging
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from numpy.typing import NDArray

import sentiment.model
from components import errors, gate, registry, reviews
from components.errors import StageError
from components.files import read_json, write_json
from components.models import load_model

log = logging.getLogger("promote")


def promote(name: str, version: str, test: pd.DataFrame, limits: gate.Gate) -> dict[str, Any]:
    """Judge ``version`` against the champion on the test reviews, move the alias or say why not.

    Returns the outcome (promoted, refused or unchanged), the versions before and after, the
    reason and the figures. Both models are read from the registry, as serving will read them.
    """
    with registry.connected() as client:
        challenger = client.get_model_version(name, version)
        champion = registry.alias_version(client, name, registry.CHAMPION)
        if champion is not None and champion.version == challenger.version:
            why = f"version {version} is the champion already"
            return {"outcome": "unchanged", "from": version, "to": version, "why": why}
        labels = test["label"].to_numpy()
        right = _right(client, challenger, test)
        if champion is None:
            before, verdict = registry.NONE, gate.first(labels, right, limits)
        else:
            before = str(champion.version)
            verdict = gate.paired(_right(client, champion, test), right, limits)
        outcome = "promoted" if verdict.passed else "refused"
        after = str(version) if verdict.passed else before
        decision = registry.Decision(outcome, before, str(version), verdict.why, verdict.figures)
        registry.decide(client, name, decision)
    return {"outcome": outcome, "from": before, "to": after, "why": verdict.why, **verdict.figures}


def rollback(name: str, to: str | None, why: str) -> dict[str, Any]:
    """Move the champion to version ``to``, or to the one that the present champion replaced."""
    with registry.connected() as client:
        champion = registry.alias_version(client, name, registry.CHAMPION)
        if champion is None:
            raise StageError(f"{name} has no champion to roll back")
        before = str(champion.version)
        if to is None:
            made = (
                move["from"]
                for move in registry.moves(client, name)
                if move["outcome"] == "promoted" and move["to"] == before
            )
            to = next(made, registry.NONE)
            if to == registry.NONE:
                raise StageError(f"{name} version {before} replaced no other; say --to VERSION")
        client.get_model_version(name, to)
        if to == before:
            return {"outcome": "unchanged", "from": before, "to": to, "why": "champion already"}
        registry.decide(client, name, registry.Decision("rolled_back", before, to, why))
    return {"outcome": "rolled_back", "from": before, "to": to, "why": why}


def _right(
    client: mlflow.MlflowClient, version: ModelVersion, test: pd.DataFrame
) -> NDArray[np.bool_]:
    """Tell for each test review whether a registered version gets it right."""
    log.info("scoring %d reviews with version %s", len(test), version.version)
    with tempfile.TemporaryDirectory() as scratch:
        model = load_model(registry.download(client, version, Path(scratch)))
    p = sentiment.model.probabilities(model, test["text"])
    return (p > 0.5) == (test["label"].to_numpy() == 1)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.promote", description=__doc__)
    parser.add_argument("--name", default="sentiment", help="default: %(default)s")
    parser.add_argument("--registered", type=Path, help="JSON file from register")
    parser.add_argument("--test", type=Path, help="Parquet file from prepare")
    parser.add_argument("--promotion", type=Path, help="JSON file to write")
    for field in fields(gate.Gate):
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=float,
            default=field.default,
            help="default: %(default)s",
        )
    parser.add_argument("--rollback", action="store_true", help="move the champion back instead")
    parser.add_argument("--to", metavar="VERSION", help="where to, with --rollback")
    parser.add_argument("--why", help="the reason to record, with --rollback")
    parser.add_argument("--history", action="store_true", help="print the moves of the champion")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.rollback and not args.why:
        parser().error("--rollback needs --why")
    if not (args.rollback or args.history or (args.registered and args.test and args.promotion)):
        parser().error("--registered, --test and --promotion are needed")

    def work() -> None:
        if args.history:
            with registry.connected() as client:
                for move in registry.moves(client, args.name):
                    print("{at} {by}: {outcome} {from} -> {to}: {why}".format(**move))
            return
        if args.rollback:
            result = rollback(args.name, args.to, args.why)
        else:
            registered = read_json(args.registered)
            limits = gate.Gate(**{f.name: getattr(args, f.name) for f in fields(gate.Gate)})
            test = reviews.read_labelled(args.test)
            result = promote(registered["name"], registered["version"], test, limits)
            write_json(args.promotion, result)
        log.info("%(outcome)s, version %(from)s -> %(to)s: %(why)s", result)

    return errors.run("promote", work)


if __name__ == "__main__":
    raise SystemExit(main())
