"""Time and peak memory of training as the reviews grow.

More reviews than there are come from resampling: a review drawn at random, one word in ten of it
replaced by a word drawn from all reviews, so that new n-grams keep coming as they would. Needs
``data/`` from ``make train``. A stage's peak is that of its largest process.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.training import DATA, measured
from components import reviews

NOISE = 0.1
BATCH = 10_000


def resample(source: Path, rows: int, output: Path, seed: int = 0) -> None:
    """Write ``rows`` reviews made of those in ``source``, a batch at a time."""
    random = np.random.default_rng(seed)
    table = reviews.read(source)
    split = [text.split() for text in table["text"]]
    words = np.array([word for each in split for word in each], object)
    with pq.ParquetWriter(output, reviews.SCHEMA, compression="zstd") as writer:
        for start in range(0, rows, BATCH):
            drawn = random.integers(0, len(table), min(BATCH, rows - start))
            batch = table.iloc[drawn].assign(
                text=[_noisy(split[i], words, random) for i in drawn], source="resampled"
            )
            writer.write_table(pa.Table.from_pandas(batch, reviews.SCHEMA, preserve_index=False))


def _noisy(words: list[str], others: np.ndarray, random: np.random.Generator) -> str:
    found = np.array(words, object)
    places = np.flatnonzero(random.random(len(found)) < NOISE)
    found[places] = others[random.integers(0, len(others), len(places))]
    return " ".join(found)


def stages(source: Path) -> list[list[object]]:
    """Return the stages between the reviews and the model, one candidate on all rows."""
    return [
        ["prepare", "--reviews", source, "--train", "train", "--valid", "valid", "--test", "test"],
        ["count", "--train", "train", "--valid", "valid", "--counts", "counts"],
        ["merge", "--counts", "counts", "--matrix", "matrix"],
        ["trial", "--matrix", "matrix", "--candidates", "default", "--trials", "trials"],
        ["select", "--trials", "trials", "--selection", "selection.json"],
        ["train", "--matrix", "matrix", "--selections", "selection.json", "--model", "model"],
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[25_000, 250_000, 1_000_000])
    args = parser.parse_args(argv)
    if not DATA.exists():
        parser.error(f"{DATA} is not there; make train first")
    print("| reviews | stage | seconds | seconds per 1,000 | peak MB |\n|---|---|---|---|---|")
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch, "reviews.parquet")
            resample(DATA, rows, source)
            total, highest = 0.0, 0.0
            for name, *arguments in stages(source):
                seconds, peak = measured(Path(scratch), f"components.{name}", *arguments)
                total, highest = total + seconds, max(highest, peak)
                _print(rows, str(name), seconds, peak)
            _print(rows, "all", total, highest)
    return 0


def _print(rows: int, name: str, seconds: float, peak: float) -> None:
    each = seconds / rows * 1000
    print(f"| {rows:,} | {name} | {seconds:.1f} | {each:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
