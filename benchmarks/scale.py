"""Measure what each stage costs as the number of reviews grows.

Reviews beyond the built-in 25,000 are made from them by the rule of ``benchmarks/growth.py``.
First comes how well the rule grows: 25,000 reviews made of the first 5,000 beside the real ones.
Needs ``data/`` from ``make train``.
"""

import argparse
import logging
import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from benchmarks import stages
from benchmarks.growth import Corpus, Reviews, different
from benchmarks.processes import Cost, measure
from benchmarks.training import DATA
from components import cli
from components.io import reviews

log = logging.getLogger("scale")
SHARD = 25_000  # reviews in a file of the source
LEARNED, CHECKED = 5_000, (5_000, 10_000, 25_000)  # reviews
PREPARE: list[list[object]] = [
    ["ingest", "--source", "source", "--output", "reviews.parquet"],
    # made of pieces of several reviews, more of them hold the control characters that a few have
    ["validate", "--reviews", "reviews.parquet", "--report", "report.json", "--max-damaged", "1"],
    ["prepare", "--reviews", "reviews.parquet", *stages.SPLITS],
]
COLUMNS = ("CPU seconds", "ms a review", "peak MB", "MB read", "MB written")


def read(path: Path) -> Reviews:
    """Return the built-in reviews in a fixed random order, and what makes more of them."""
    return Reviews(reviews.read(path).sample(frac=1, random_state=0).reset_index(drop=True))


def check(made_of: Reviews, learned: int, sizes: Iterable[int]) -> None:
    """Print the different n-grams of the reviews, and of as many made of the first ``learned``."""
    sizes = [size for size in sizes if size <= len(made_of.table)]
    real, base = made_of.base, Reviews(made_of.table[:learned])
    made = joined(base, max(sizes))
    print("| reviews | n-grams of | real | made | made/real |\n|---|---|---|---|---|")
    for n in (1, 2, 3):
        counts = (different(each.tokens, each.lengths, n, sizes) for each in (real, made))
        for size, of_real, of_made in zip(sizes, *counts, strict=True):
            ratio = of_made / of_real
            print(f"| {size:,} | {n} | {of_real:,} | {of_made:,} | {ratio:.2f} |", flush=True)
    fitted = ", ".join(f"{n}: V = {k:.1f} N^{b:.2f}" for n, (k, b) in enumerate(made_of.laws, 1))
    print(f"\nHeaps' laws of all {len(made_of.table):,} reviews: {fitted}\n", flush=True)


def joined(base: Reviews, rows: int) -> Corpus:
    """Return the reviews of ``base`` and those made of them, ``rows`` in all."""
    size = len(base.table)
    parts = [base.make(start, min(size, rows - start))[1:] for start in range(size, rows, size)]
    tokens = np.concatenate([base.base.tokens, *(tokens for _, tokens in parts)])
    lengths = np.concatenate([base.base.lengths, *(lengths for lengths, _ in parts)])
    return Corpus(tokens, lengths, base.base.labels, base.base.words)


def measure_stages(source: Reviews, rows: int) -> Iterator[tuple[str, Cost]]:
    """Yield each stage with its cost on ``rows`` reviews, in a folder that is removed."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "source")
        folder.mkdir()
        for start in range(0, rows, SHARD):
            table = source.shard(start, min(SHARD, rows - start))
            reviews.write(folder / f"{start // SHARD:05}.parquet", table)
            log.info("%d of %d reviews made", min(rows, start + SHARD), rows)
        for name, *arguments in [*PREPARE, *stages.FIT, stages.evaluate("test")]:
            cost = measure(Path(scratch), f"components.{name}", *arguments)
            log.info("%s: %.1f s", name, cost.seconds)
            yield str(name), cost


def row(name: str, rows: int, cost: Cost) -> str:
    figures = [f"{cost.cpu_seconds:.1f}", f"{1000 * cost.cpu_seconds / rows:.2f}"]
    figures += [f"{value:.0f}" for value in cost[2:]]
    return f"| {rows:,} | {name} | {' | '.join(figures)} |"


def total(costs: Iterable[Cost]) -> Cost:
    seconds, cpu_seconds, megabytes, read, written = zip(*costs, strict=True)
    return Cost(sum(seconds), sum(cpu_seconds), max(megabytes), sum(read), sum(written))


def exponents(costs: dict[int, Cost]) -> list[float]:
    """Return b of cost ~ rows^b between the two largest numbers of rows, of all but wall time."""
    (few, less), (many, more) = sorted(costs.items())[-2:]
    ratio = math.log(many / few)
    return [
        math.log(max(after, 1e-3) / max(before, 1e-3)) / ratio
        for before, after in zip(less[1:], more[1:], strict=True)
    ]


def numbers(text: str) -> list[int]:
    found = sorted({int(part.replace("_", "")) for part in text.split(",")})
    if found[0] < 1_000:
        raise argparse.ArgumentTypeError(f"{text}: at least 1000 reviews")
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument(
        "--rows",
        type=numbers,
        default=[25_000, 100_000, 1_000_000, 10_000_000],
        help="numbers of reviews, separated by commas; default: %(default)s",
    )
    sizes: list[int] = parser.parse_args(argv).rows
    if not DATA.exists():
        parser.error(f"{DATA} does not exist; run make train first")

    def work() -> None:
        source = read(DATA)
        check(source, LEARNED, CHECKED)
        print(f"| reviews | stage | {' | '.join(COLUMNS)} |\n{'|---' * (2 + len(COLUMNS))}|")
        measured: dict[int, dict[str, Cost]] = {}
        for rows in sizes:
            costs = measured[rows] = {}
            for name, cost in measure_stages(source, rows):
                costs[name] = cost
                print(row(name, rows, cost), flush=True)
            costs["all"] = total(costs.values())
            print(row("all", rows, costs["all"]), flush=True)
        if len(sizes) > 1:
            few, many = sizes[-2:]
            print(f"\nExponents from {few:,} to {many:,} reviews:\n")
            print("| stage | CPU seconds | peak MB | MB read | MB written |\n|---|---|---|---|---|")
            for name in measured[many]:
                grown = exponents({size: costs[name] for size, costs in measured.items()})
                print(f"| {name} | {' | '.join(f'{b:.2f}' for b in grown)} |")

    return cli.run("scale", work)


if __name__ == "__main__":
    raise SystemExit(main())
