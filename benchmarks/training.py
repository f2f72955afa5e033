"""Measure time and peak memory of training beside scikit-learn and the reference.

Each figure is of a process of its own, all in one run. Needs ``data/`` from ``make train``.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from sklearn.feature_extraction.text import CountVectorizer

from benchmarks import reference
from benchmarks.processes import ROOT, measure
from sentiment.tokens import tokenize
from sentiment.vectorizer import NgramVectorizer

DATA = ROOT / "data" / "reviews.parquet"
REGISTRY = ("register", "gate", "promote")  # the reference has no such stages


def vectorize(name: str) -> None:
    """Find the 1-3 grams of two reviews or more; ``nothing`` only reads the reviews."""
    texts = pd.read_parquet(DATA, columns=["text"])["text"]
    if name == "ours":
        NgramVectorizer(max_n=3, min_df=2).fit_transform(texts)
    elif name == "scikit-learn's":
        CountVectorizer(
            tokenizer=tokenize, token_pattern=None, lowercase=False, ngram_range=(1, 3), min_df=2
        ).fit_transform(texts)


def stages() -> Iterator[tuple[str, list[str]]]:
    """Yield our stages with their arguments, as DVC runs them, in the order of dependencies."""
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    outs = [(Path(out["path"]), name) for name, stage in lock.items() for out in stage["outs"]]
    needed = {
        name: {
            producer
            for dep in stage.get("deps", [])  # a file, or the folder of several stages
            for out, producer in outs
            if Path(dep["path"]) in (out, *out.parents)
        }
        for name, stage in lock.items()
    }
    for name in TopologicalSorter(needed).static_order():
        if name not in REGISTRY:
            yield name, lock[name]["cmd"].split()[2:]


def compare_vectorizers(scratch: Path) -> None:
    print("| vectorizer | seconds | CPU seconds | peak MB |\n|---|---|---|---|")
    costs = {}
    for name in ("nothing", "ours", "scikit-learn's"):
        costs[name] = measure(scratch, "benchmarks.training", "--vectorize", name)
        print("| {} | {:.1f} | {:.1f} | {:.0f} |".format(name, *costs[name]), flush=True)
    nothing, ours, sklearn = (np.array(cost[:3]) for cost in costs.values())
    print("| ratio | {:.1f} | {:.1f} | {:.1f} |".format(*(sklearn / ours)))
    net = (sklearn - nothing) / (ours - nothing)
    print("| ratio beyond nothing | {:.1f} | {:.1f} | {:.1f} |\n".format(*net))


def compare_stages(scratch: Path) -> None:
    heading = "stage | seconds | CPU seconds | peak MB"
    shutil.copy(ROOT / "params.yaml", scratch)
    print(f"| {heading} | {heading.replace('stage', 'reference')} |\n|{'---|' * 8}")
    of_reference = [
        (name, ["benchmarks.reference", name, DATA, scratch]) for name in reference.STAGES
    ]
    total = np.zeros((2, 2))
    for pair in zip_longest(stages(), of_reference):
        cells: list[str] = []
        for side, stage in enumerate(pair):
            if stage is None:
                cells += [""] * 4
                continue
            cost = measure(scratch, *stage[1])
            total[side] += cost[:2]
            cells += [stage[0], *(f"{x:.1f}" for x in cost[:2]), f"{cost.megabytes:.0f}"]
        print(f"| {' | '.join(cells)} |", flush=True)
    accuracies = (
        json.loads((scratch / path).read_text())["accuracy"]
        for path in ("reports/metrics.json", "metrics.json")
    )
    print("| all | {:.1f} | {:.1f} | | all | {:.1f} | {:.1f} | |".format(*total.ravel()))
    print("| accuracy | {:.4f} | | | accuracy | {:.4f} | | |".format(*accuracies))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--vectorize", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.vectorize:
        vectorize(args.vectorize)
        return 0
    if not DATA.exists():
        parser.error(f"{DATA} does not exist; run make train first")
    with tempfile.TemporaryDirectory() as scratch:
        compare_vectorizers(Path(scratch))
        compare_stages(Path(scratch))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
