"""The release notes of a version: what it changed against the champion that it replaced.

They are made of what the registry keeps, so that the same promotion always has the same notes.
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
from components.report.card import rows
from sentiment.store import FINDINGS_FILE

NOTES_FILE = "release_notes.md"
FACTS = ("train_rows", "features")  # what a run counts among its parameters, and was not set

log = logging.getLogger("notes")


@dataclass(frozen=True)
class Version:
    """What the registry knows of a version."""

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
        raise UserError(f"{name} version {number} was never promoted, and has no notes")
    new = _read(client, name, number)
    old = _read(client, name, move["from"]) if move["from"] != registry.NONE else None
    replaced = f"over version {old.number}" if old else "as the first champion"
    return f"""# {name} version {number}

Promoted {replaced} by {move["by"]}, {move["at"][:16]} UTC: {move["why"]}

## Data

{_data(old, new)}

## Parameters

{_parameters(old, new)}

## Accuracy

{_accuracy(old, new)}

## The same model again

{_again(new)}
"""


def keep(client: mlflow.MlflowClient, name: str, number: str) -> None:
    """Put the notes beside the model of a version, if it was ever promoted."""
    if _promotion(client, name, number):
        run_id = str(client.get_model_version(name, number).run_id)
        client.log_text(run_id, compose(client, name, number), NOTES_FILE)


def _promotion(client: mlflow.MlflowClient, name: str, number: str) -> dict[str, str] | None:
    made = registry.moves(client, name)
    return next((m for m in made if (m["outcome"], m["to"]) == ("promoted", number)), None)


def _read(client: mlflow.MlflowClient, name: str, number: str) -> Version:
    version = client.get_model_version(name, number)
    run = client.get_run(str(version.run_id))
    with tempfile.TemporaryDirectory() as scratch:
        path = client.download_artifacts(run.info.run_id, f"model/{FINDINGS_FILE}", scratch)
        findings = read_json(Path(path))
    params, metrics = dict(run.data.params), dict(run.data.metrics)
    return Version(number, dict(version.tags), params, metrics, findings)


def _data(old: Version | None, new: Version) -> str:
    def lines(title: str, value: Any) -> list[str]:
        return [title, *(str(value(each)) for each in (old, new) if each)]

    records = [
        lines("training reviews", lambda each: each.params["train_rows"]),
        lines("features", lambda each: each.params["features"]),
        lines("training data", lambda each: f"`{each.tags['data_digest'][:16]}`"),
        lines("test data", lambda each: f"`{each.tags['test_digest'][:16]}`"),
    ]
    return _compared(old, new, records)


def _parameters(old: Version | None, new: Version) -> str:
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


def _accuracy(old: Version | None, new: Version) -> str:
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
    return f"{table}\n\nEach on test reviews of its own; the gate judged both on those of the new."


def _again(new: Version) -> str:
    commit, digest = new.tags["git_commit"], new.tags["model_digest"]
    if len(commit) != 40:
        return f"The files it was made of are in no commit ({commit}); its SHA-256 is `{digest}`."
    return f"""    git checkout {commit}
    dvc pull --allow-missing
    dvc repro train

writes a `models/sentiment/model.skops` whose SHA-256 is `{digest}`,
if it was made from the parameters of that commit."""


def _compared(old: Version | None, new: Version, records: list[list[str]]) -> str:
    titles = ["", *_titles(old, new)]
    return rows([titles, ["---"] * len(titles), *records])


def _titles(old: Version | None, new: Version) -> list[str]:
    return [f"version {each.number}" for each in (old, new) if each]
