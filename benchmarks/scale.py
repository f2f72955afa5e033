"""Measure time and peak memory of training as the number of reviews grows.

Additional reviews are resampled: a random review with one word in ten replaced by a random word of
all reviews, so that new n-grams keep coming as in real reviews. Needs
``data/`` from ``make train``.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.processes import Cost, measure
from benchmarks.training import DATA
from components.io import reviews

NOISE = 0.1
SHARD = 25_000  # reviews
SPLITS = ("--train", "train", "--valid", "valid", "--test", "test")


def resample(source: Path, rows: int, output: Path, seed: int = 0) -> None:
    """Write ``rows`` reviews, resampled from ``source``, to ``output``, a folder of shards."""
    random = np.random.default_rng(seed)
    table = reviews.read(source)
    split = [text.split() for text in table["text"]]
    words = np.array([word for review in split for word in review], object)
    output.mkdir()
    for start in range(0, rows, SHARD):
        drawn = random.integers(0, len(table), min(SHARD, rows - start))
        texts = [_noisy(split[i], words, random) for i in drawn]
        shard = table.iloc[drawn].assign(text=texts, source="resampled")
        reviews.write(output / f"{start // SHARD:05}.parquet", shard)


def _noisy(words: list[str], others: np.ndarray, random: np.random.Generator) -> str:
    noisy = np.array(words, object)
    replaced = np.flatnonzero(random.random(len(noisy)) < NOISE)
    noisy[replaced] = others[random.integers(0, len(others), len(replaced))]
    return " ".join(noisy)


def stages(source: Path) -> list[list[object]]:
    """Return the command lines from the shards to the metrics, for one candidate on all rows."""
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
            *(
                "evaluate",
                "--model",
                "model",
                *SPLITS[:2],
                *SPLITS[4:],
                "--metrics",
                "metrics.json",
            ),
            *("--predictions", "p.parquet", "--plots", "plots", "--findings", "findings.json"),
        ],
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[25_000, 250_000, 1_000_000])
    args = parser.parse_args(argv)
    if not DATA.exists():
        parser.error(f"{DATA} does not exist; run make train first")
    print("| reviews | stage | seconds | CPU seconds | per 1,000 | peak MB |")
    print("|---|---|---|---|---|---|")
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch, "shards")
            resample(DATA, rows, source)
            costs = []
            for name, *arguments in stages(source):
                costs.append(measure(Path(scratch), f"components.{name}", *arguments))
                _print_row(rows, str(name), costs[-1])
            seconds, cpu_seconds, megabytes = zip(*costs, strict=True)
            _print_row(rows, "all", Cost(sum(seconds), sum(cpu_seconds), max(megabytes)))
    return 0


def _print_row(rows: int, name: str, cost: Cost) -> None:
    per_1000 = cost.cpu_seconds / rows * 1000
    cells = f"{cost.seconds:.1f} | {cost.cpu_seconds:.1f} | {per_1000:.2f} | {cost.megabytes:.0f}"
    print(f"| {rows:,} | {name} | {cells} |", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
