"""List training reviews whose label is contradicted by a model that was fitted without them.

It is no stage of the pipeline: run it after make train, look at the list, delete the rows whose
label is right, and name the rest in ``ingest.exclude``. What it found, without the texts, goes to
the versions in MLflow that learned from these reviews.
"""

import csv
import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

from components import stage
from components.errors import UserError
from components.io import addresses, matrices, registry, reviews, suspect_labels
from components.io.candidates import Trial
from components.io.files import replacing
from components.io.matrices import Matrix, data_digest
from components.io.suspect_labels import SuspectLabels
from components.stage import Artifact, parameters
from components.train import fit, selection_files, trials_of
from sentiment import ngram_keys, regression
from sentiment.exact import class_probabilities
from sentiment.linear import Linear
from sentiment.ngram_keys import Ints
from sentiment.shards import Shard

log = logging.getLogger("suspects")
WORDS = 5  # n-grams that are named for each review


@dataclass(frozen=True)
class Suspect:
    """A review whose label is contradicted; ``probability`` is that of its label."""

    id: str
    label: str
    predicted: str
    probability: float
    words: str
    source: str
    text: str


def find(matrix: Matrix, best: Trial, tables: Sequence[Path], folds: int) -> list[Suspect]:
    """Return the reviews whose label is contradicted, the least probable label first.

    Each review is scored by a model of the other folds, fitted with the candidate, the iterations
    and the calibration of ``best`` (Northcutt et al. 2021, "Confident Learning"). ``tables`` are
    the shards of the reviews, in the order of those of the matrix.

    Raises:
        UserError: the reviews are not those of the matrix.
    """
    digests = {
        name: reviews.digest([reviews.read(path)])
        for name, path in zip(matrix.facts.rows, tables, strict=True)
    }
    if data_digest(digests) != matrix.facts.data_digest:
        raise UserError("--train, --valid: not the reviews of --matrix; run count and merge again")
    shards = [*matrix.train, *matrix.valid]
    tokens = ["", *ngram_keys.unpack(matrix.tokens)]
    found: list[Suspect] = []
    for fold in range(folds):
        others = [partial(_part, shard, fold, folds, inside=False) for shard in shards]
        linear = fit(matrix, best, others)
        for shard, path in zip(shards, tables, strict=True):
            table = reviews.read(path).iloc[fold::folds]
            rows = _part(shard, fold, folds, inside=True)
            found += _contradicted(linear, rows, table, matrix, tokens)
        log.info("fold %d of %d: %d labels contradicted so far", fold + 1, folds, len(found))
    return sorted(found, key=lambda each: (each.probability, each.id))


def _part(shard: Shard, fold: int, folds: int, inside: bool) -> tuple[csr_array, NDArray[np.int8]]:
    """Return the rows of a shard that are in a fold, or those that are not."""
    counts, labels = shard()
    chosen = (np.arange(len(labels)) % folds == fold) == inside
    return counts[chosen], labels[chosen]


def _contradicted(
    linear: Linear,
    rows: tuple[csr_array, NDArray[np.int8]],
    table: pd.DataFrame,
    matrix: Matrix,
    tokens: Sequence[str],
) -> Iterator[Suspect]:
    counts, labels = rows
    names = matrix.facts.classes
    p = class_probabilities(regression.score(linear, counts))
    most = p.argmax(axis=1)
    for row in np.flatnonzero(most != labels).tolist():
        review = table.iloc[row]
        contributions = regression.contributions(linear, counts[[row]], int(most[row]))
        strongest = np.argsort(-contributions.data, kind="stable")[:WORDS]
        against = contributions.indices[strongest[contributions.data[strongest] > 0]]
        yield Suspect(
            id=reviews.identity(review["text"]),
            label=names[labels[row]],
            predicted=names[most[row]],
            probability=round(float(p[row, labels[row]]), 6),
            words=" | ".join(_names(matrix.keys[against], tokens)),
            source=review["source"],
            text=review["text"],
        )


def _names(keys: Ints, tokens: Sequence[str]) -> Iterator[str]:
    for numbers in zip(*ngram_keys.parts(keys), strict=True):
        yield " ".join(tokens[number] for number in numbers if number)


def write(found: Sequence[Suspect], path: Path) -> None:
    with replacing(path) as partial_file, partial_file.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(each.name for each in fields(Suspect))
        writer.writerows([getattr(each, one.name) for one in fields(Suspect)] for each in found)


def publish(digest: str, found: SuspectLabels) -> None:
    """Write the findings to the registered versions that learned from the reviews of ``digest``.

    Raises:
        UserError, UnavailableError: the registry refuses it, or does not respond.
    """
    database = addresses.database(addresses.tracking_uri())
    described = []
    if database is None or database.exists():
        with registry.connected() as client:
            described = suspect_labels.publish(client, digest, found)
    if described:
        log.info("in the description of %s", ", ".join(described))
    else:
        log.info("no version of these reviews is registered; run this again once there is one")


@parameters
class Parameters:
    folds: int = Field(
        default=5, ge=2, le=100, description="Models to fit, each to all but one part."
    )
    share: float = Field(
        default=0.1, gt=0, le=1, description="Largest share of the reviews to list."
    )


def run(
    matrix: Annotated[Path, Artifact("directory from merge", "Dataset")],
    selections: Annotated[list[Path], Artifact("JSON files from select, or directories of them")],
    train: Annotated[Path, Artifact("directory from prepare", "Dataset")],
    valid: Annotated[Path, Artifact("directory from prepare", "Dataset")],
    suspects: Annotated[Path, Artifact("CSV file to write", output=True)],
    parameters: Parameters,
) -> None:
    opened = matrices.load(matrix)
    best = trials_of(opened, selection_files(selections))[0]
    folder = {"train": train, "valid": valid}
    names = (name.partition("-") for name in opened.facts.rows)
    tables = [folder[split] / f"{stem}.parquet" for split, _, stem in names]
    found = find(opened, best, tables, parameters.folds)
    total = sum(opened.facts.rows.values())
    listed = [*islice(found, round(parameters.share * total))]
    write(listed, suspects)
    log.info("%d of %d labels are contradicted; %d in %s", len(found), total, len(listed), suspects)
    worst = tuple(each.id for each in listed[: suspect_labels.NAMED])
    written = hashlib.sha256(suspects.read_bytes()).hexdigest()
    summary = SuspectLabels(len(found), total, parameters.folds, worst, written)
    publish(opened.facts.data_digest, summary)


def main(argv: list[str] | None = None) -> int:
    return stage.main("suspects", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
