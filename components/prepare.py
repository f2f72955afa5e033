"""Drop empty texts and copies, and split the reviews into train, validation and test."""

import hashlib
import logging
import math
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Self

import pandas as pd
import pyarrow as pa
import pyarrow.ipc
from pydantic import Field, model_validator

from components import stage
from components.errors import UserError
from components.io import reviews as tables_of
from components.io.files import replacing_directory
from components.stage import Artifact, parameters

log = logging.getLogger("prepare")

SPLITS = ("train", "valid", "test")
SHARD_ROWS = 5_000
MAX_SHARDS = 400  # of a split: each shard is an open file while the reviews are distributed
_RAW = pa.schema([*tables_of.SCHEMA, ("key", pa.binary())])


def prepare(
    source: Path,
    outputs: dict[str, Path],
    valid_fraction: float,
    test_fraction: float,
    shard_rows: int = SHARD_ROWS,
) -> dict[str, int]:
    """Write a directory of shards for each split and return the rows of each.

    Empty texts are dropped, and all copies of a text but the first, and every copy of a text that
    has several labels. A hash of the text decides the split and the shard. So no text changes sides
    as data grow, and a new model can be compared with an old one on texts that neither learned
    from. All copies of a text are in one shard, so that memory holds one shard at a time.

    Raises:
        UserError: the reviews cannot be read, or a split lacks reviews of a class.
    """
    shares = {"test": test_fraction, "valid": valid_fraction}
    shares["train"] = 1 - test_fraction - valid_fraction
    total, names = tables_of.rows(source), tables_of.classes(source)
    shards = {
        name: min(MAX_SHARDS, math.ceil(total * share / shard_rows) or 1)
        for name, share in shares.items()
    }
    dropped: Counter[str] = Counter()
    labels: dict[str, Counter[int]] = {name: Counter() for name in SPLITS}
    with ExitStack() as stack:
        partial = {name: stack.enter_context(replacing_directory(outputs[name])) for name in SPLITS}
        _distribute(source, partial, shares, shards, dropped)
        for name in SPLITS:
            for raw in sorted(partial[name].glob("*.arrow")):
                shard = _clean(raw, dropped)
                tables_of.write(raw.with_suffix(".parquet"), shard, names)
                labels[name].update(shard["label"].tolist())
                raw.unlink()
            classes = max(2, len(names))
            missing = [each for each in range(classes) if not labels[name][each]]
            if missing:
                absent = ", ".join([*names, "another"][each] for each in missing)
                raise UserError(
                    f"{source}: the {name} split has {labels[name].total()} reviews, and none of"
                    f" class {absent}; more data is needed"
                )
        log.info(
            "dropped %d empty, %d of several labels and %d copies of %d reviews",
            *(dropped[kind] for kind in ("empty", "of several labels", "copies")),
            total,
        )
    return {name: labels[name].total() for name in SPLITS}


def _distribute(
    source: Path,
    outputs: dict[str, Path],
    shares: dict[str, float],
    shards: dict[str, int],
    dropped: Counter[str],
) -> None:
    """Write each review to the file of its split and shard; drop empty texts."""
    with ExitStack() as stack:
        writers = {
            (name, shard): stack.enter_context(
                pa.ipc.new_stream(outputs[name] / f"{shard:05}.arrow", _RAW)
            )
            for name in SPLITS
            for shard in range(shards[name])
        }
        for batch in tables_of.batches(source):
            keys = batch["text"].fillna("").map(tables_of.key)
            dropped["empty"] += int((keys == "").sum())
            batch = batch[keys != ""].assign(key=keys[keys != ""].map(_digest))
            places = [_place(digest, shares, shards) for digest in batch["key"]]
            for place, rows in batch.groupby(pd.Series(places, batch.index), sort=False):
                writers[place].write(pa.RecordBatch.from_pandas(rows, _RAW, preserve_index=False))


def _clean(raw: Path, dropped: Counter[str]) -> pd.DataFrame:
    with pa.ipc.open_stream(raw) as stream:
        shard = stream.read_pandas()
    several = shard.groupby("key")["label"].transform("nunique") > 1
    copies = shard["key"].duplicated() & ~several
    dropped["of several labels"] += int(several.sum())
    dropped["copies"] += int(copies.sum())
    return shard[~several & ~copies].drop(columns="key")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()[:16]


def _place(digest: bytes, shares: dict[str, float], shards: dict[str, int]) -> tuple[str, int]:
    """Return the split and the shard of a text from its digest alone."""
    position = int.from_bytes(digest[:6]) / 2**48
    split = "train"
    for name in ("test", "valid"):
        if position < shares[name]:
            split = name
            break
        position -= shares[name]
    return split, int.from_bytes(digest[6:12]) % shards[split]


@parameters
class Parameters:
    valid_fraction: float = Field(
        default=0.1, gt=0, lt=1, description="Share of the reviews that candidates are chosen on."
    )
    test_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="Share of the reviews that the gate judges on."
    )
    shard_rows: int = Field(default=SHARD_ROWS, ge=1, description="Reviews in a shard, about.")

    @model_validator(mode="after")
    def _leave_some_to_train_on(self) -> Self:
        if self.valid_fraction + self.test_fraction >= 1:
            raise ValueError("valid_fraction and test_fraction leave nothing to train on")
        return self


def run(
    reviews: Annotated[Path, Artifact("Parquet file from ingest", "Dataset")],
    train: Annotated[Path, Artifact("directory to write", "Dataset", output=True)],
    valid: Annotated[Path, Artifact("directory to write", "Dataset", output=True)],
    test: Annotated[Path, Artifact("directory to write", "Dataset", output=True)],
    parameters: Parameters,
) -> None:
    outputs = {"train": train, "valid": valid, "test": test}
    fractions = parameters.valid_fraction, parameters.test_fraction
    for name, rows in prepare(reviews, outputs, *fractions, parameters.shard_rows).items():
        log.info("%s: %d reviews in %s", name, rows, outputs[name])


def main(argv: list[str] | None = None) -> int:
    return stage.main("prepare", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
