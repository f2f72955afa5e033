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
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from sklearn.pipeline import Pipeline

from components import lineage, stage
from components.behaviour import judging
from components.comparison import behave, compare, on_labelled, score
from components.errors import UserError
from components.io import killed, looks, records, registry, reviews
from components.io.files import read_json
from components.io.looks import Look
from components.io.models import load_model
from components.io.registry import Registered
from components.report import sample_size
from components.stage import Artifact
from components.verdict import Check, GateLimits, GateVerdict, floor
from sentiment.model_file import FINDINGS_FILE

log = logging.getLogger("gate")

LEAST_POWER = 0.5  # with less, most challengers as good as the best version fail


def gate(
    registered: Registered,
    test: Iterable[pd.DataFrame],
    limits: GateLimits,
    classes: Sequence[str] = reviews.CLASSES,
    fresh: Iterable[pd.DataFrame] = (),
) -> GateVerdict:
    """Return the verdict on a version; ``classes`` are those of the labels of ``test``.

    ``fresh`` are labelled predictions; the verdict has the accuracy on them, and does not depend
    on it.

    The models are read from the registry, as serving will read them. A refusal is recorded in the
    registry here; a promotion is recorded by promote, which moves the alias. Each comparison is
    recorded as a look at the test set: the same version again is the same look.
    """
    name, version, test_digest = registered.name, registered.version, registered.test_digest
    with registry.connected() as client:
        killed.close_records(client, name)
        challenger = registry.find_version(client, name, version)
        champion = registry.champion(client, name)
        current = str(champion.version) if champion else registry.NONE
        if champion is not None and champion.version == challenger.version:
            why = f"version {version} is the champion already"
            return GateVerdict(name, version, current, "unchanged", False, why, {})
        model, findings = _load(client, challenger)
        if champion is None:
            found, (alone,) = score([model], test, classes)
            check = floor(found.labels, alone.answers == found.labels, limits)
            verdict = _verdict(registered, current, check)
        else:
            behaviour = judging.of_findings(findings, f"version {version}: {FINDINGS_FILE}")
            past = looks.read(client, name, test_digest)
            best = _anchor(client, registered, past, champion)
            look = looks.next_look(past, version, str(best.version), limits.alpha, limits.looks)
            others = [champion] if best.version == champion.version else [champion, best]
            models = [model, *(_load(client, each)[0] for each in others)]
            found, tested = score(models, test, classes)
            check = compare(found, tested[0], tested[1], tested[-1], limits, look.level)
            check &= behave(behaviour, tested[0], tested[1], limits)
            check &= on_labelled(models[0], models[1], fresh, classes)
            looks.write(client, name, test_digest, look.judged(check.passed, check.figures))
            past = looks.read(client, name, test_digest)
            verdict = replace(
                _verdict(registered, current, check),
                anchor=look.anchor,
                look=look.number,
                advice=_advice(past, check, len(found.labels), limits),
            )
        if not check.passed:
            decision = registry.Decision("refused", current, version, check.why, check.figures)
            registry.decide(client, name, decision)
    return verdict


def _verdict(registered: Registered, champion: str, check: Check) -> GateVerdict:
    return GateVerdict(
        name=registered.name,
        version=registered.version,
        champion=champion,
        outcome="passed" if check.passed else "refused",
        passed=check.passed,
        why=check.why,
        figures=check.figures,
    )


def _anchor(
    client: mlflow.MlflowClient, judged: Registered, past: Sequence[Look], champion: ModelVersion
) -> ModelVersion:
    """Return the best version so far on the test set.

    If that one was deleted, or is itself judged again after a rollback, it is the champion.
    """
    name = judged.name
    promoted = {move.after for move in registry.moves(client, name)}
    number = looks.anchor(past, promoted, str(champion.version))
    if number == judged.version:
        return champion
    if number in registry.versions(client, name):
        return registry.find_version(client, name, number)
    log.warning("version %s, the best on these test reviews, was deleted: not compared", number)
    return champion


def _advice(past: Sequence[Look], check: Check, rows: int, limits: GateLimits) -> str:
    """Return that new test reviews are due if a challenger as good as the anchor would rather fail.

    ``past`` are the looks at the test set of ``rows`` reviews, this one included.
    """
    disagreement = check.figures.get("anchor_disagreement")
    if disagreement is None:
        return ""
    level = lineage.levels([look.passed for look in past], limits.alpha, limits.looks)[-1]
    power = lineage.power_of_equal(level, disagreement, rows, limits.margin)
    if power >= LEAST_POWER:
        return ""
    return (
        f"new test reviews are due: after {len(past)} looks at these {rows}, the next challenger"
        f" that is as good as the best version would pass with a probability of {power:.0%}"
    )


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


def run(
    registered: Annotated[Path, Artifact("JSON file from register")],
    test: Annotated[Path, Artifact("directory from prepare", "Dataset")],
    verdict: Annotated[Path, Artifact("JSON file to write", output=True)],
    limits: GateLimits,
) -> None:
    challenger = records.read(registered, Registered)
    tables, classes = reviews.labelled(test), reviews.classes(test)
    folder = reviews.freshly_labelled(test)
    fresh = map(reviews.read, reviews.shards(folder)) if folder else ()
    found = gate(challenger, tables, limits, classes, fresh)
    records.write(verdict, found)
    log.info("version %s %s: %s", found.version, found.outcome, found.why)
    rows = sum(map(reviews.rows, reviews.shards(test)))
    disagreement = found.figures.get("disagreement", sample_size.USUAL_DISAGREEMENT)
    log.info("%s", sample_size.describe(rows, disagreement))
    if found.advice:
        log.warning("%s", found.advice)


def main(argv: list[str] | None = None) -> int:
    return stage.main("gate", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
