"""The matrix that merge writes: the n-grams, and the counts of each shard of the reviews.

A directory holds the n-grams and one directory for each shard, which is read when it is needed.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.errors import UserError
from components.io import records
from components.io.records import record
from sentiment import shards
from sentiment.ngram_keys import Ints
from sentiment.shards import Shard

SHARD_FILE = "shard.json"
MATRIX_FILE = "matrix.json"


@record
class ShardFacts:
    """Facts of a counted shard: its reviews, their digest, the longest n-gram, the classes."""

    rows: int
    digest: str
    max_n: int
    classes: tuple[str, ...]


@record
class MatrixFacts:
    """Facts of a matrix; ``rows`` are the numbers of reviews by the name of their shard.

    ``classes`` are their names, in the order of the labels. ``stemmer`` says how tokens are
    reduced, None if they are not; ``stemmers`` has the log loss of each that was tried.
    """

    max_n: int
    min_df: int
    features: int
    data_digest: str
    rows: dict[str, int]
    classes: tuple[str, ...]
    stemmer: str | None = None
    stemmers: dict[str, float] | None = None


@dataclass(frozen=True)
class Matrix:
    """An opened matrix; the rows stay on the disk until a pass needs them."""

    facts: MatrixFacts
    tokens: NDArray[np.uint8]
    keys: Ints
    train: Sequence[Shard]
    valid: Sequence[Shard]


def data_digest(digests: Mapping[str, str]) -> str:
    """Return the digest of all reviews from those of the shards, by their names."""
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def load(directory: Path) -> Matrix:
    """Open the matrix in ``directory``.

    Raises:
        UserError: a file of it is missing or damaged.
    """
    facts = records.read(directory / MATRIX_FILE, MatrixFacts)
    try:
        tokens, keys = (np.load(directory / f"{name}.npy") for name in ("tokens", "keys"))
    except OSError as error:
        raise UserError(f"{error.filename or directory}: {error.strerror or error}") from error
    train, valid = (
        [
            shards.rows_of(directory / name, len(keys))
            for name in facts.rows
            if name.startswith(f"{split}-")
        ]
        for split in ("train", "valid")
    )
    return Matrix(facts, tokens, keys, train, valid)
