"""Time and peak memory of training as the reviews grow.

More reviews than there are come from resampling: a review drawn at random, one word in ten of it
replaced by a word drawn from all reviews, so that new n-grams keep coming as they would. Needs
``data/`` from ``make train``.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.processes import Cost, measured
from benchmarks.training import DATA
from components.io import reviews

NOISE = 0.1
SHARD = 25_000  # reviews
SPLITS = ("--train", "train", "--valid", "valid", "--test", "test")


def resample(source: Path, rows: int, output: Path, seed: int = 0) -> None:
    """Write ``rows`` reviews made of those in ``source`` to ``output``, a folder of shards."""
    random = np.random.default_rng(seed)
    table = reviews.read(source)
    split = [text.split() for text in table["text"]]
    words = np.array([word for each in split for word in each], object)
    output.mkdir()
    for start in range(0, rows, SHARD):
        drawn = random.integers(0, len(table), min(SHARD, rows - start))
        texts = [_noisy(split[i], words, random) for i in drawn]
        shard = table.iloc[drawn].assign(text=texts, source="resampled")
        reviews.write(output / f"{start // SHARD:05}.parquet", shard)


def _noisy(words: list[str], others: np.ndarray, random: np.random.Generator) -> str:
    found = np.array(words, object)
    places = np.flatnonzero(random.random(len(found)) < NOISE)
    found[places] = others[random.integers(0, len(others), len(places))]
    return " ".join(found)


def stages(source: Path) -> list[list[object]]:
    """Return the stages from the shards to the metrics, with one candidate, on all rows."""
    return [
        ["ingest", "--source", source, "--output", "reviews.parquet"],
        ["validate", "--reviews", "reviews.parquet", "--report", "report.json"],
        ["prepare", "--reviews", "reviews.parquet", *SPLITS],
        ["count", *SPLITS[:4], "--counts", "counts"],
        ["merge", "--counts", "counts", "--matrix", "matrix"],
        ["trial", "--matrix", "matrix", "--candidates", "default", "--trials", "trials"],
        ["select", "--trials", "trials", "--selection", "selection.json"],
        ["train", "--matrix", "matrix", "--selections", "selection.json", "--model", "model"],
        [
            *("evaluate", "--model", "model", *SPLITS[4:], "--metrics", "metrics.json"),
            *("--predictions", "p.parquet", "--plots", "plots", "--findings", "findings.json"),
        ],
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[25_000, 250_000, 1_000_000])
    args = parser.parse_args(argv)
    if not DATA.exists():
        parser.error(f"{DATA} is not there; make train first")
    print("| reviews | stage | seconds | CPU seconds | per 1,000 | peak MB |")
    print("|---|---|---|---|---|---|")
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch, "shards")
            resample(DATA, rows, source)
            costs = []
            for name, *arguments in stages(source):
                costs.append(measured(Path(scratch), f"components.{name}", *arguments))
                _print(rows, str(name), costs[-1])
            seconds, cpu_seconds, megabytes = zip(*costs, strict=True)
            _print(rows, "all", Cost(sum(seconds), sum(cpu_seconds), max(megabytes)))
    return 0


def _print(rows: int, name: str, cost: Cost) -> None:
    each = cost.cpu_seconds / rows * 1000
    cells = f"{cost.seconds:.1f} | {cost.cpu_seconds:.1f} | {each:.2f} | {cost.megabytes:.0f}"
    print(f"| {rows:,} | {name} | {cells} |", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
