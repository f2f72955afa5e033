"""Leave out the texts that a person has excluded, as components.suspects lists them."""

import csv
import tempfile
from collections import Counter
from collections.abc import Set
from dataclasses import replace
from itertools import compress
from pathlib import Path

from components.errors import UserError
from components.io.reviews import identity
from components.reading.batches import Batch
from components.reading.options import Options
from components.reading.sources import Origin, fetch

COLUMN = "id"
_PARAMETER = "ingest.exclude"


def read(options: Options) -> set[str]:
    """Return the identities in the file that ``options.exclude`` names; none if it names none.

    Raises:
        UserError: the file cannot be read, or has no column of identities.
    """
    if not options.exclude:
        return set()
    with tempfile.TemporaryDirectory() as scratch:
        origins = fetch(replace(options, source=options.exclude), Path(scratch))
        return {found for origin in origins for found in _identities(origin)}


def _identities(origin: Origin) -> set[str]:
    where = f"{_PARAMETER}: {origin.address}"
    try:
        with origin.path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if COLUMN not in (rows.fieldnames or ()):
                raise UserError(
                    f"{where}: no column {COLUMN!r}; python -m components.suspects writes one"
                )
            return {row[COLUMN] for row in rows}
    except OSError as error:
        raise UserError(f"{where}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where}: {error}") from error


def without(batch: Batch, excluded: Set[str], dropped: Counter[str]) -> Batch:
    """Return the batch without the texts that are excluded, and count these."""
    if not excluded:
        return batch
    kept = [identity(text or "") not in excluded for text in batch.texts]
    if not all(kept):
        dropped["excluded"] += kept.count(False)
    return Batch(
        [*compress(batch.texts, kept)],
        [*compress(batch.labels, kept)],
        [*compress(batch.groups, kept)],
        [*compress(batch.numbers, kept)],
        batch.unit,
    )
