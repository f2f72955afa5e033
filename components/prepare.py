"""Clean the set of reviews and split it into train, validation and test, for good."""

import argparse
import hashlib
import logging
import math
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.ipc

from components import cli
from components.arguments import count, fraction
from components.errors import UserError
from components.io import reviews
from components.io.files import replacing_directory

log = logging.getLogger("prepare")

SPLITS = ("train", "valid", "test")
SHARD_ROWS = 5_000
MAX_SHARDS = 400  # of a split, as each is a file that is open while the reviews are dealt out
_DEALT = pa.schema([*reviews.SCHEMA, ("key", pa.binary())])


def prepare(
    source: Path,
    outputs: dict[str, Path],
    valid_fraction: float,
    test_fraction: float,
    shard_rows: int = SHARD_ROWS,
) -> dict[str, int]:
    """Write a directory of shards for each split and return the rows of each.

    Empty texts go, of the copies of a text the first stays, and a text that stands with both
    labels goes altogether. A hash of the text decides split and shard: as data grows, no text
    changes sides, so a new model can be compared with an old one on texts that neither has
    learned from; and the copies of a text meet in one shard, so that memory holds one at a time.

    Raises:
        UserError: the reviews cannot be read, or a split has not reviews of both labels.
    """
    shares = {"test": test_fraction, "valid": valid_fraction}
    shares["train"] = 1 - test_fraction - valid_fraction
    total = reviews.rows(source)
    shards = {
        name: min(MAX_SHARDS, math.ceil(total * share / shard_rows) or 1)
        for name, share in shares.items()
    }
    dropped: Counter[str] = Counter()
    labels: dict[str, Counter[int]] = {name: Counter() for name in SPLITS}
    with ExitStack() as stack:
        partial = {name: stack.enter_context(replacing_directory(outputs[name])) for name in SPLITS}
        _deal(source, partial, shares, shards, dropped)
        for name in SPLITS:
            for dealt in sorted(partial[name].glob("*.arrow")):
                shard = _clean(dealt, dropped)
                reviews.write(dealt.with_suffix(".parquet"), shard)
                labels[name].update(shard["label"].tolist())
                dealt.unlink()
            if len(labels[name]) < 2:
                rows = labels[name].total()
                raise UserError(
                    f"{source}: the {name} split has {rows} reviews, not of both labels; more"
                    " data is needed"
                )
        log.info(
            "dropped %d empty, %d of two labels and %d copies of %d reviews",
            *(dropped[kind] for kind in ("empty", "of two labels", "copies")),
            total,
        )
    return {name: labels[name].total() for name in SPLITS}


def _deal(
    source: Path,
    outputs: dict[str, Path],
    shares: dict[str, float],
    shards: dict[str, int],
    dropped: Counter[str],
) -> None:
    """Write each review that is not empty to a file of its split and shard."""
    with ExitStack() as stack:
        writers = {
            (name, shard): stack.enter_context(
                pa.ipc.new_stream(outputs[name] / f"{shard:05}.arrow", _DEALT)
            )
            for name in SPLITS
            for shard in range(shards[name])
        }
        for batch in reviews.batches(source):
            keys = batch["text"].fillna("").map(reviews.key)
            dropped["empty"] += int((keys == "").sum())
            batch = batch[keys != ""].assign(key=keys[keys != ""].map(_digest))
            places = [_place(digest, shares, shards) for digest in batch["key"]]
            for place, rows in batch.groupby(pd.Series(places, batch.index), sort=False):
                writers[place].write(pa.RecordBatch.from_pandas(rows, _DEALT, preserve_index=False))


def _clean(dealt: Path, dropped: Counter[str]) -> pd.DataFrame:
    with pa.ipc.open_stream(dealt) as stream:
        shard = stream.read_pandas()
    both = shard.groupby("key")["label"].transform("nunique") > 1
    copies = shard["key"].duplicated() & ~both
    dropped["of two labels"] += int(both.sum())
    dropped["copies"] += int(copies.sum())
    return shard[~both & ~copies].drop(columns="key")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()[:16]


def _place(digest: bytes, shares: dict[str, float], shards: dict[str, int]) -> tuple[str, int]:
    """Return split and shard, which depend on the text alone."""
    position = int.from_bytes(digest[:6]) / 2**48
    split = "train"
    for name in ("test", "valid"):
        if position < shares[name]:
            split = name
            break
        position -= shares[name]
    return split, int.from_bytes(digest[6:12]) % shards[split]


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.prepare", description=__doc__)
    parser.add_argument("--reviews", required=True, type=Path, help="Parquet file from ingest")
    for split in SPLITS:
        parser.add_argument(f"--{split}", required=True, type=Path, help="directory to write")
    parser.add_argument("--valid-fraction", type=fraction, default=0.1, help="default: %(default)s")
    parser.add_argument("--test-fraction", type=fraction, default=0.2, help="default: %(default)s")
    parser.add_argument(
        "--shard-rows", type=count, default=SHARD_ROWS, help="about, of a file; default: 5000"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    if args.valid_fraction + args.test_fraction >= 1:
        parser().error("--valid-fraction and --test-fraction leave nothing to train on")

    def work() -> None:
        outputs = {name: getattr(args, name) for name in SPLITS}
        fractions = args.valid_fraction, args.test_fraction
        for name, rows in prepare(args.reviews, outputs, *fractions, args.shard_rows).items():
            log.info("%s: %d reviews in %s", name, rows, outputs[name])

    return cli.run("prepare", work)


if __name__ == "__main__":
    raise SystemExit(main())
