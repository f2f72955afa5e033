"""Measure the model on the official halves of IMDB (Maas et al. 2011), and by folds of films.

The stages learn with their defaults from the whole training half, a tenth of its films for the
validation, and are measured on the test half, which has other films. Then five-fold
cross-validation of the training half shows what random folds, with films on both sides, flatter.
"""

import argparse
import json
import logging
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from benchmarks import acl_imdb, folds, stages
from benchmarks.processes import Cost, measure
from components import cli, prepare
from components.io import records, reviews
from components.io.models import TrainingFacts
from sentiment.model_file import FACTS_FILE

log = logging.getLogger("official")
VALID = 0.1  # share of the training half that says when to stop, and calibrates
FIGURES = {"log_loss": "log loss", "expected_calibration_error": "calibration error"}


def measure_halves(train: pd.DataFrame, test: pd.DataFrame, scratch: Path) -> None:
    """Print the figures of the stages on the test half, and what they cost."""
    reviews.write(scratch / "half.parquet", train)
    reviews.write(scratch / "test.parquet", test)
    splits = {name: scratch / name for name in prepare.SPLITS}
    rows = prepare.prepare(scratch / "half.parquet", splits, VALID, test_fraction=0)
    costs = []
    for name, *arguments in stages.FIT:
        log.info("%s", name)
        costs.append(measure(scratch, f"components.{name}", *arguments))
    fit = Cost(*(sum(values) for values in zip(*costs, strict=True)))
    log.info("evaluate")
    evaluated, *arguments = stages.evaluate("test.parquet")
    scored = measure(scratch, f"components.{evaluated}", *arguments)
    metrics = json.loads((scratch / stages.METRICS).read_text())
    facts = records.read(scratch / "model" / FACTS_FILE, TrainingFacts)
    right = round(metrics["accuracy"] * len(test))
    lines = {
        "reviews to train": f"{rows['train']:,} and {rows['valid']:,} to validate",
        "test reviews": f"{len(test):,}",
        "accuracy (95% interval)": folds.accuracy(right, len(test)),
        **{name: f"{metrics[key]:.4f}" for key, name in FIGURES.items()},
        "features": f"{facts.features:,}",
        "CPU seconds, count to train": f"{fit.cpu_seconds:.1f}",
        "peak MB": f"{max(cost.megabytes for cost in costs):.0f}",
        "CPU seconds, evaluate": f"{scored.cpu_seconds:.1f}",
    }
    print("| official halves | |\n|---|---|")
    for name, value in lines.items():
        print(f"| {name} | {value} |", flush=True)


def compare_folds(table: pd.DataFrame) -> None:
    """Print the accuracy by random folds and, where films are known, by folds of films."""
    by_text = folds.read(table.drop(columns="group", errors="ignore"))
    scores = by_text.model()
    at_random = by_text.right(scores)
    print("\n| folds of the training half | accuracy (95% interval) | log loss |\n|---|---|---|")
    _print_folds("random", at_random, by_text.log_loss(scores))
    if not folds.is_grouped(table):
        return
    by_film = replace(by_text, folds=folds.by_group(table))
    scores = by_film.model()
    apart = by_film.right(scores)
    _print_folds(f"by film, {table['group'].nunique():,} films", apart, by_film.log_loss(scores))
    gain = by_film.difference(at_random, apart)
    print(
        f"\nRandom folds flatter by {gain.mean:.4f}, with a standard error of"
        f" {gain.by_review:.4f} by review and {gain.by_fold:.4f} by fold."
    )


def _print_folds(name: str, right: folds.Right, log_loss: float) -> None:
    interval = folds.accuracy(int(right.sum()), len(right))
    print(f"| {name} | {interval} | {log_loss:.4f} |", flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.official", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help=f"folder aclImdb, from {acl_imdb.ADDRESS}"
    )
    folder: Path = parser.parse_args(argv).data

    def work() -> None:
        train, test = (acl_imdb.read(folder, half) for half in ("train", "test"))
        if not folds.is_grouped(train):
            log.warning("%s: no urls_pos.txt and urls_neg.txt: films are unknown", folder / "train")
        with tempfile.TemporaryDirectory() as scratch:
            measure_halves(train, test, Path(scratch))
        compare_folds(train)

    return cli.run("official", work)


if __name__ == "__main__":
    raise SystemExit(main())
