"""The release notes of a version: what changed against the champion that it replaced.

The notes come from the registry alone, so that the same promotion always has the same notes.
"""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow

from components.errors import UserError
from components.io import registry
from components.io.files import read_json
from components.io.registry import Decision
from components.report.card import rows
from sentiment.model_file import FINDINGS_FILE

NOTES_FILE = "release_notes.md"
FACTS = ("train_rows", "features")  # logged as parameters of a run, and not set

log = logging.getLogger("notes")


@dataclass(frozen=True)
class NotedVersion:
    """A version with its tags, and the parameters, metrics and findings of its run."""

    number: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    findings: dict[str, Any]


def compose(client: mlflow.MlflowClient, name: str, number: str) -> str:
    """Return the notes of the last promotion of a version, as Markdown.

    Raises:
        UserError: the version was never promoted.
    """
    move = _promotion(client, name, number)
    if move is None:
        raise UserError(f"{name} version {number} was never promoted and has no notes")
    new = _read(client, name, number)
    old = None
    if move.before == registry.NONE:
        replaced = "as the first champion"
    elif move.before in registry.versions(client, name):
        replaced = f"over version {move.before}"
        old = _read(client, name, move.before)
    else:
        replaced = f"over version {move.before}, which is deleted,"
    return f"""# {name} version {number}

Promoted {replaced} by {move.by}, {str(move.at)[:16]} UTC: {move.why}

## Data

{_data(old, new)}

## Parameters

{_parameters(old, new)}

## Accuracy

{_accuracy(old, new)}

## The same model again

{_reproduction(new)}
"""


def keep(client: mlflow.MlflowClient, name: str, number: str) -> None:
    """Store the notes in the run of a version, if the version was ever promoted."""
    if _promotion(client, name, number):
        run_id = str(client.get_model_version(name, number).run_id)
        client.log_text(run_id, compose(client, name, number), NOTES_FILE)


def _promotion(client: mlflow.MlflowClient, name: str, number: str) -> Decision | None:
    for move in registry.moves(client, name):
        if move.outcome == "promoted" and move.after == number:
            return move
    return None


def _read(client: mlflow.MlflowClient, name: str, number: str) -> NotedVersion:
    version = registry.find_version(client, name, number)
    registry.require_files(client, version)
    run = client.get_run(str(version.run_id))
    with tempfile.TemporaryDirectory() as scratch:
        path = client.download_artifacts(run.info.run_id, f"model/{FINDINGS_FILE}", scratch)
        findings = read_json(Path(path))
    params, metrics = dict(run.data.params), dict(run.data.metrics)
    return NotedVersion(number, dict(version.tags), params, metrics, findings)


def _data(old: NotedVersion | None, new: NotedVersion) -> str:
    def lines(title: str, value: Any) -> list[str]:
        return [title, *(str(value(each)) for each in (old, new) if each)]

    records = [
        lines("training reviews", lambda each: each.params["train_rows"]),
        lines("features", lambda each: each.params["features"]),
        lines("training data", lambda each: f"`{each.tags['data_digest'][:16]}`"),
        lines("test data", lambda each: f"`{each.tags['test_digest'][:16]}`"),
    ]
    return _compared(old, new, records)


def _parameters(old: NotedVersion | None, new: NotedVersion) -> str:
    keys = sorted(new.params.keys() - set(FACTS))
    if old is None:
        return rows(
            [["", "version " + new.number], ["---"] * 2, *([k, new.params[k]] for k in keys)]
        )
    changed = [key for key in keys if old.params.get(key) != new.params[key]]
    records = [[key, old.params.get(key, ""), new.params[key]] for key in changed]
    same = ", ".join(f"{key} {new.params[key]}" for key in keys if key not in changed)
    said = [_compared(old, new, records)] if changed else []
    return "\n\n".join([*said, f"Unchanged: {same}."] if same else said)


def _accuracy(old: NotedVersion | None, new: NotedVersion) -> str:
    now = {"all": {"accuracy": new.metrics["accuracy"], "rows": int(new.metrics["rows"])}}
    now |= {each["slice"]: each for each in new.findings["slices"]}
    if old is None:
        records = [[name, each["rows"], f"{each['accuracy']:.4f}"] for name, each in now.items()]
        return rows([["reviews", "of the test", "accuracy"], ["---"] * 3, *records])
    before = {"all": old.metrics["accuracy"]}
    before |= {each["slice"]: each["accuracy"] for each in old.findings["slices"]}
    records = []
    for name, each in now.items():
        was, gain = "", ""
        if name in before:
            was, gain = f"{before[name]:.4f}", f"{each['accuracy'] - before[name]:+.4f}"
        records.append([name, each["rows"], was, f"{each['accuracy']:.4f}", gain])
    heading = ["reviews", "of the test", *_titles(old, new), "change"]
    table = rows([heading, ["---"] * len(heading), *records])
    if old.tags["test_digest"] == new.tags["test_digest"]:
        return table
    judged = f"the gate judged both on those of version {new.number}"
    return f"{table}\n\nEach on its own test reviews; {judged}."


def _reproduction(new: NotedVersion) -> str:
    commit, digest = new.tags["git_commit"], new.tags["model_digest"]
    if len(commit) != 40:
        return f"The files it was made from are in no commit ({commit}); its SHA-256 is `{digest}`."
    return f"""    git checkout {commit}
    dvc pull --allow-missing
    dvc repro train

writes a `models/sentiment/model.skops` whose SHA-256 is `{digest}`,
if it was made from the parameters of that commit."""


def _compared(old: NotedVersion | None, new: NotedVersion, records: list[list[str]]) -> str:
    titles = ["", *_titles(old, new)]
    return rows([titles, ["---"] * len(titles), *records])


def _titles(old: NotedVersion | None, new: NotedVersion) -> list[str]:
    return [f"version {each.number}" for each in (old, new) if each]
