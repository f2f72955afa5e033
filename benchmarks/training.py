"""Time and peak memory of training: n-grams beside scikit-learn's, stages beside the reference's.

Each figure is of a process of its own, all in one run. Needs ``data/`` from ``make train``.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import zip_longest
from pathlib import Path

import pandas as pd
import yaml
from sklearn.feature_extraction.text import CountVectorizer

from benchmarks import reference
from benchmarks.processes import ROOT, measured
from sentiment.tokens import tokenize
from sentiment.vectorizer import NgramVectorizer

DATA = ROOT / "data" / "reviews.parquet"
REGISTRY = ("register", "gate", "promote")  # the reference has no such stages


def vectorize(name: str) -> None:
    """Learn the 1-3 grams of two reviews or more from all the reviews; ``nothing`` reads them."""
    texts = pd.read_parquet(DATA, columns=["text"])["text"]
    if name == "ours":
        NgramVectorizer(max_n=3, min_df=2).fit_transform(texts)
    elif name == "scikit-learn's":
        CountVectorizer(
            tokenizer=tokenize, token_pattern=None, lowercase=False, ngram_range=(1, 3), min_df=2
        ).fit_transform(texts)


def stages() -> Iterator[tuple[str, list[str]]]:
    """Yield our stages with their arguments, as DVC runs them, each after those it depends on."""
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    made_by = {out["path"]: name for name, stage in lock.items() for out in stage["outs"]}
    needed = {
        name: {made_by[dep["path"]] for dep in stage["deps"] if dep["path"] in made_by}
        for name, stage in lock.items()
    }
    for name in TopologicalSorter(needed).static_order():
        if name not in REGISTRY:
            yield name, lock[name]["cmd"].split()[2:]


def compare_vectorizers(scratch: Path) -> None:
    print("| vectorizer | seconds | peak MB |\n|---|---|---|")
    figures = {}
    for name in ("nothing", "ours", "scikit-learn's"):
        figures[name] = measured(scratch, "benchmarks.training", "--vectorize", name)
        print("| {} | {:.1f} | {:.0f} |".format(name, *figures[name]), flush=True)
    ratios = [a / b for a, b in zip(*(figures[n] for n in ("scikit-learn's", "ours")), strict=True)]
    print("| ratio | {:.1f} | {:.1f} |\n".format(*ratios))


def compare_stages(scratch: Path) -> None:
    print(
        "| stage | seconds | peak MB | reference | seconds | peak MB |\n|---|---|---|---|---|---|"
    )
    theirs = [(name, ["benchmarks.reference", name, DATA, scratch]) for name in reference.STAGES]
    total = [0.0, 0.0]
    for pair in zip_longest(stages(), theirs):
        cells: list[str] = []
        for side, given in enumerate(pair):
            if given is None:
                cells += ["", "", ""]
                continue
            seconds, memory = measured(scratch, *given[1])
            total[side] += seconds
            cells += [given[0], f"{seconds:.1f}", f"{memory:.0f}"]
        print(f"| {' | '.join(cells)} |", flush=True)
    ours, of_reference = (
        json.loads((scratch / path).read_text())["accuracy"]
        for path in ("reports/metrics.json", "metrics.json")
    )
    print(f"| all | {total[0]:.1f} | | | {total[1]:.1f} | |")
    print(f"| accuracy | {ours:.4f} | | | {of_reference:.4f} | |")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--vectorize", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.vectorize:
        vectorize(args.vectorize)
        return 0
    if not DATA.exists():
        parser.error(f"{DATA} is not there; make train first")
    with tempfile.TemporaryDirectory() as scratch:
        compare_vectorizers(Path(scratch))
        compare_stages(Path(scratch))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
