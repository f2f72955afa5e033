"""The rows to learn from, as merge leaves them: counts of n-grams, read a shard at a time.

A directory with the n-grams and, for each shard of the reviews, a directory of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.errors import UserError
from components.io.files import read_json
from sentiment import shards
from sentiment.ngrams import Ints
from sentiment.shards import Shard

SHARD_FILE = "shard.json"
MATRIX_FILE = "matrix.json"


@dataclass(frozen=True)
class Matrix:
    """``facts`` are max_n, min_df, features, data_digest and the rows of each shard."""

    facts: dict[str, Any]
    tokens: NDArray[np.uint8]
    keys: Ints
    train: Sequence[Shard]
    valid: Sequence[Shard]


def load(directory: Path) -> Matrix:
    """Open what merge wrote; the rows themselves stay on the disk until a pass needs them."""
    facts = read_json(directory / MATRIX_FILE)
    try:
        tokens, keys = (np.load(directory / f"{name}.npy") for name in ("tokens", "keys"))
    except OSError as error:
        raise UserError(f"{error.filename or directory}: {error.strerror or error}") from error
    train, valid = (
        [
            shards.rows_of(directory / name, len(keys))
            for name in facts["rows"]
            if name.startswith(f"{split}-")
        ]
        for split in ("train", "valid")
    )
    return Matrix(facts, tokens, keys, train, valid)
