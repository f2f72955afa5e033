"""Leave out the texts that a person has excluded, as components.suspects lists them."""

import csv
from collections import Counter
from collections.abc import Set
from itertools import compress
from pathlib import Path

from components.errors import UserError
from components.io.reviews import identity
from components.reading.batches import Batch

COLUMN = "id"
_PARAMETER = "ingest.exclude"


def read(path: str) -> set[str]:
    """Return the identities in a CSV file; none without a path.

    Raises:
        UserError: the file cannot be read, or has no column of identities.
    """
    if not path:
        return set()
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if COLUMN not in (rows.fieldnames or ()):
                raise UserError(
                    f"{_PARAMETER}: {path}: no column {COLUMN!r}; python -m components.suspects"
                    " writes such a file"
                )
            return {row[COLUMN] for row in rows}
    except OSError as error:
        raise UserError(f"{_PARAMETER}: {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{_PARAMETER}: {path}: {error}") from error


def without(batch: Batch, excluded: Set[str], dropped: Counter[str]) -> Batch:
    """Return the batch without the texts that are excluded, and count these."""
    if not excluded:
        return batch
    kept = [identity(text or "") not in excluded for text in batch.texts]
    dropped["excluded"] += kept.count(False)
    return Batch(
        [*compress(batch.texts, kept)],
        [*compress(batch.labels, kept)],
        [*compress(batch.groups, kept)],
        [*compress(batch.numbers, kept)],
        batch.unit,
    )
