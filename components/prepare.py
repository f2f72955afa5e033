"""Clean the set of reviews and split it into train, validation and test, for good."""

import argparse
import hashlib
import logging
from pathlib import Path

import pandas as pd

from components import errors, reviews
from components.arguments import fraction
from components.errors import StageError

log = logging.getLogger("prepare")

SPLITS = ("train", "valid", "test")


def prepare(
    table: pd.DataFrame, valid_fraction: float, test_fraction: float
) -> dict[str, pd.DataFrame]:
    """Return the splits by name.

    Empty texts go, of the copies of a text the first stays, and a text that stands with both
    labels goes altogether. A hash of the text decides the split: as data grows, no text changes
    sides, so a new model can be compared with an old one on texts that neither has learned from.
    """
    keys = table["text"].fillna("").map(reviews.key)
    both = table.groupby(keys)["label"].transform("nunique") > 1
    empty = keys == ""
    copies = keys.duplicated() & ~both & ~empty
    dropped = empty | both | copies
    log.info(
        "dropped %d empty, %d of two labels and %d copies of %d reviews",
        empty.sum(),
        (both & ~empty).sum(),
        copies.sum(),
        len(table),
    )
    table, keys = table[~dropped], keys[~dropped]
    place = keys.map(_place)
    test = place < test_fraction
    valid = ~test & (place < test_fraction + valid_fraction)
    return {"train": table[~test & ~valid], "valid": table[valid], "test": table[test]}


def _place(key: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6]) / 2**48


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.prepare", description=__doc__)
    parser.add_argument("--reviews", required=True, type=Path, help="Parquet file from ingest")
    for split in SPLITS:
        parser.add_argument(f"--{split}", required=True, type=Path, help="Parquet file to write")
    parser.add_argument("--valid-fraction", type=fraction, default=0.1, help="default: %(default)s")
    parser.add_argument("--test-fraction", type=fraction, default=0.2, help="default: %(default)s")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.valid_fraction + args.test_fraction >= 1:
        parser().error("--valid-fraction and --test-fraction leave nothing to train on")

    def work() -> None:
        splits = prepare(reviews.read(args.reviews), args.valid_fraction, args.test_fraction)
        for name, split in splits.items():
            if split["label"].nunique() < 2:
                raise StageError(
                    f"{args.reviews}: the {name} split has {len(split)} reviews, not of both"
                    " labels; more data is needed"
                )
        for name, split in splits.items():
            reviews.write(getattr(args, name), split)
            log.info("%s: %d reviews in %s", name, len(split), getattr(args, name))

    return errors.run("prepare", work)


if __name__ == "__main__":
    raise SystemExit(main())
