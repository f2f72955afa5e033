"""Drop empty texts and copies, and split the reviews into train, validation and test."""

import hashlib
import logging
import math
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
from pydantic import Field, model_validator

from components import stage
from components.errors import UserError
from components.io import accounts, records
from components.io import reviews as tables_of
from components.io.accounts import RowAccount
from components.io.files import replacing_directory
from components.report import sample_size
from components.stage import Artifact, parameters

log = logging.getLogger("prepare")

SPLITS = ("train", "valid", "test")  # of copies in several groups, the first of these keeps one
SHARD_ROWS = 5_000
MAX_SHARDS = 400  # of a split: each shard is an open file while the reviews are distributed
_OWN = (("key", pa.binary()), ("split", pa.string()))  # columns of the files that are cleaned


def prepare(
    source: Path,
    outputs: dict[str, Path],
    valid_fraction: float,
    test_fraction: float,
    shard_rows: int = SHARD_ROWS,
) -> dict[str, int]:
    """Write a directory of shards for each split and return the rows of each.

    Empty texts are dropped, and all copies of a text but the first, and every copy of a text that
    has several labels. A hash of the group decides the split, or of the text where there is none.
    So no review changes sides as data grow, and a new model can be compared with an old one on
    texts that neither learned from. Of copies in several groups, one on the side of training is
    kept: as data grow, a text may leave the test reviews, but none comes to them from the training.

    Labelled predictions (source ``labelled-predictions``) on the side of the test go to a folder of
    their own in it, and change no other test review: the test set stays as labels come in.

    Reviews are first distributed by their texts, so that all copies of a text are in one file, and
    memory holds one file at a time. What a file has of another split becomes a shard there. The
    account of rows stands beside the test reviews (components/io/accounts.py).

    Raises:
        UserError: the reviews cannot be read, or a split lacks reviews of a class; one with a
            share of 0 may be empty.
    """
    shares = {"test": test_fraction, "valid": valid_fraction}
    shares["train"] = 1 - test_fraction - valid_fraction
    total, names = tables_of.rows(source), tables_of.classes(source)
    others = total - _labelled(source)
    shards = {
        name: min(
            MAX_SHARDS, math.ceil((others if name == "test" else total) * share / shard_rows) or 1
        )
        for name, share in shares.items()
    }
    dropped: Counter[str] = Counter()
    labels: dict[str, Counter[int]] = {name: Counter() for name in SPLITS}
    groups = {name: array("Q") for name in SPLITS}
    labelled = 0
    grouped = tables_of.is_grouped(source)
    with ExitStack() as stack:
        partial = {name: stack.enter_context(replacing_directory(outputs[name])) for name in SPLITS}
        _distribute(source, partial, shares, shards, dropped)
        for own in SPLITS:
            for raw in sorted(partial[own].glob("*.arrow")):
                for name, shard in _clean(raw, own, dropped):
                    file = raw.stem if name == own else f"{raw.stem}-of-{own}"
                    if name == "test":
                        fresh = shard["source"] == tables_of.LABELLED
                        if fresh.any():
                            apart = partial[name] / tables_of.LABELLED / f"{file}.parquet"
                            tables_of.write(apart, shard[fresh], names)
                            labelled += int(fresh.sum())
                        shard = shard[~fresh]
                        if name != own and not len(shard):
                            continue
                    tables_of.write(partial[name] / f"{file}.parquet", shard, names)
                    labels[name].update(shard["label"].tolist())
                    if grouped:
                        groups[name].extend(map(_fingerprint, shard["group"].dropna().unique()))
                raw.unlink()
        found = {name: len(np.unique(np.array(groups[name]))) for name in SPLITS}
        for name in filter(shares.get, SPLITS):
            classes = max(2, len(names))
            missing = [each for each in range(classes) if not labels[name][each]]
            if missing:
                absent = ", ".join([*names, "another"][each] for each in missing)
                ways = f", or a group_column with more groups than {sum(found.values())}" * grouped
                raise UserError(
                    f"{source}: the {name} split has {labels[name].total()} reviews, and none of"
                    f" class {absent}; more data is needed{ways}"
                )
            if grouped:
                log.info("%s: %d groups", name, found[name])
        if labelled:
            log.info("%d labelled predictions are tested apart", labelled)
        reasons = {kind: dropped[kind] for kind in ("empty", "of several labels", "copies")}
        account = RowAccount(
            accounts.read(source), reasons, accounts.digest(accounts.content(source))
        )
        records.write(partial["test"] / accounts.FILE, account)
        log.info(
            "dropped %d empty, %d of several labels and %d copies of %d reviews",
            *reasons.values(),
            total,
        )
    return {name: labels[name].total() for name in SPLITS}


def _labelled(source: Path) -> int:
    """Return the number of rows that are labelled predictions."""
    return sum(
        int((batch["source"] == tables_of.LABELLED).sum()) for batch in tables_of.batches(source)
    )


def _distribute(
    source: Path,
    outputs: dict[str, Path],
    shares: dict[str, float],
    shards: dict[str, int],
    dropped: Counter[str],
) -> None:
    """Write each review to the file of its text's split and shard; drop empty texts."""
    schema = tables_of.GROUPED if tables_of.is_grouped(source) else tables_of.SCHEMA
    schema = pa.schema([*schema, *_OWN])
    without_group = 0
    with ExitStack() as stack:
        writers = {
            (name, shard): stack.enter_context(
                pa.ipc.new_stream(outputs[name] / f"{shard:05}.arrow", schema)
            )
            for name in SPLITS
            for shard in range(shards[name])
        }
        for batch in tables_of.batches(source):
            keys = batch["text"].fillna("").map(tables_of.key)
            dropped["empty"] += int((keys == "").sum())
            batch = batch[keys != ""].assign(key=keys[keys != ""].map(_digest))
            batch["split"] = [_split(digest, shares) for digest in batch["key"]]
            places = [
                (split, int.from_bytes(digest[6:12]) % shards[split])
                for split, digest in zip(batch["split"], batch["key"], strict=True)
            ]
            if "group" in batch:
                has_group = batch["group"].notna()
                without_group += int((~has_group).sum())
                batch.loc[has_group, "split"] = [
                    _split(_digest(group), shares) for group in batch["group"][has_group]
                ]
            for place, rows in batch.groupby(pd.Series(places, batch.index), sort=False):
                writers[place].write(pa.RecordBatch.from_pandas(rows, schema, preserve_index=False))
    if without_group:
        log.info("%d reviews have no group, and are split by their text", without_group)


def _clean(raw: Path, own: str, dropped: Counter[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield what is left of a file by split, of the split ``own`` also if nothing is left."""
    with pa.ipc.open_stream(raw) as stream:
        shard = stream.read_pandas()
    # a label that comes in later neither replaces a test review nor contradicts it, also where the
    # test review is in a group and the label on the side of the training
    fresh = shard["source"] == tables_of.LABELLED
    known = fresh & shard["key"].isin(shard["key"][(shard["split"] == "test") & ~fresh])
    dropped["copies"] += int(known.sum())
    shard = shard[~known]
    several = shard.groupby("key")["label"].transform("nunique") > 1
    preferred = shard.sort_values("split", key=lambda names: names.map(SPLITS.index), kind="stable")
    copies = preferred["key"].duplicated().reindex(shard.index) & ~several
    dropped["of several labels"] += int(several.sum())
    dropped["copies"] += int(copies.sum())
    shard = shard[~several & ~copies]
    for name in SPLITS:
        part = shard[shard["split"] == name].drop(columns=["key", "split"])
        if name == own or len(part):
            yield name, part


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()[:16]


def _fingerprint(group: str) -> int:
    return int.from_bytes(_digest(group)[:8])


def _split(digest: bytes, shares: dict[str, float]) -> str:
    """Return the split of a group or a text from its digest alone."""
    position = int.from_bytes(digest[:6]) / 2**48
    for name in ("test", "valid"):
        if position < shares[name]:
            return name
        position -= shares[name]
    return "train"


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
    found = prepare(reviews, outputs, *fractions, parameters.shard_rows)
    for name, rows in found.items():
        log.info("%s: %d reviews in %s", name, rows, outputs[name])
    log.info("%s", sample_size.describe(found["test"]))


def main(argv: list[str] | None = None) -> int:
    return stage.main("prepare", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
