"""Run a stage as a task of Kubeflow Pipelines, and report what the stage wrote.

The command line of the stage comes last. In it, ``*NAME`` stands for the items of the parameter
NAME, because Kubeflow fills in a list as one JSON text.

A stage whose server did not respond is run again: Kubeflow retries pods that were lost or could
not run, but no step that ended with an exit code.
"""

import argparse
import csv
import importlib
import json
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from components.errors import UnavailableError
from components.io.files import write_json

RETRY_SECONDS = (10, 60)  # before the second and the third attempt
POINTS = 200  # of a ROC curve: the metadata store keeps the curve as one value
MOUNTS = {"gs": "gcs"}  # mount folders that differ from their scheme


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    task = json.loads(args.executor_input)
    stage = importlib.import_module(f"components.{args.stage}")
    command = _expand(args.arguments, task.get("inputs", {}).get("parameterValues", {}))
    code: int = stage.main(command)
    for seconds in RETRY_SECONDS:
        if code != UnavailableError.exit_code:
            break
        print(f"{args.stage}: next attempt in {seconds} s", file=sys.stderr)
        time.sleep(seconds)
        code = stage.main(command)
    if code == 0:
        write_json(Path(task["outputs"]["outputFile"]), _executor_output(task["outputs"]))
    return code


def _expand(arguments: list[str], parameters: dict[str, Any]) -> list[str]:
    expanded: list[str] = []
    for argument in arguments:
        if argument.startswith("*") and argument[1:] in parameters:
            expanded += map(str, parameters[argument[1:]])
        else:
            expanded.append(argument)
    return expanded


def _path(artifact: dict[str, Any]) -> str:
    uri: str = artifact["uri"]
    scheme, remote, key = uri.partition("://")
    return f"/{MOUNTS.get(scheme, scheme)}/{key}" if remote else uri


def _executor_output(outputs: dict[str, Any]) -> dict[str, Any]:
    """Return the message for the launcher: metadata of artifacts and values of parameters.

    Metrics are the numbers in the JSON files that the stage wrote; curves of a classification are
    the CSV files beside its plots. An output parameter has the value of its name in the JSON files.
    """
    artifacts = {name: each["artifacts"][0] for name, each in outputs.get("artifacts", {}).items()}
    paths = [Path(_path(artifact)) for artifact in artifacts.values()]
    values: dict[str, Any] = {}
    for path in paths:
        for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
            values |= _read(file)
    for artifact in artifacts.values():
        kind = artifact["type"]["schemaTitle"]
        if kind == "system.Metrics":
            artifact["metadata"] = _numbers(values)
        elif kind == "system.ClassificationMetrics":
            artifact["metadata"] = _curves(next(p for p in paths if (p / "roc.csv").exists()))
        elif kind == "system.Model":
            artifact["metadata"] = {"framework": "scikit-learn", **_numbers(values)}
    return {
        "artifacts": {name: {"artifacts": [artifact]} for name, artifact in artifacts.items()},
        "parameterValues": {name: values[name] for name in outputs.get("parameters", {})},
    }


def _read(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``; an empty one if the file holds anything else."""
    with suppress(OSError, ValueError), path.open("rb") as file:
        if file.read(1) == b"{":  # other files, such as Parquet, may be large
            return dict(json.loads(b"{" + file.read()))
    return {}


def _numbers(values: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers; a number in an object gets a name such as ``valid_accuracy``."""
    numbers: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            numbers |= _numbers(value, f"{prefix}{name}_")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            numbers[prefix + name] = value
    return numbers


def _curves(plots: Path) -> dict[str, Any]:
    """Return the confusion matrix and the ROC curve as the Kubeflow UI reads them."""
    with (plots / "roc.csv").open() as file:
        curve = list(csv.DictReader(file))
    with (plots / "confusion.csv").open() as file:
        cells = Counter((row["actual"], row["predicted"]) for row in csv.DictReader(file))
    names = sorted({name for pair in cells for name in pair})
    return {
        "confidenceMetrics": [
            {
                "confidenceThreshold": float(point["threshold"]),
                "falsePositiveRate": float(point["false_positive_rate"]),
                "recall": float(point["true_positive_rate"]),
            }
            for point in [*curve[:: len(curve) // POINTS + 1], curve[-1]]
        ],
        "confusionMatrix": {
            "annotationSpecs": [{"displayName": name} for name in names],
            "rows": [{"row": [cells[actual, name] for name in names]} for actual in names],
        },
    }


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.executor", description=__doc__)
    parser.add_argument("executor_input", help="JSON that Kubeflow puts in the place of {{$}}")
    parser.add_argument("stage", help="module of this package")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the stage's command line")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
