"""Leave out the texts that a list names: by a person's decision, or to forget them.

``ingest.exclude`` names the list of :mod:`components.suspects`, ``ingest.forgotten`` that of
:mod:`components.forget`.
"""

import csv
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import compress
from pathlib import Path

from components.errors import UserError
from components.io.reviews import identity
from components.reading.batches import Batch
from components.reading.options import Options
from components.reading.sources import Origin, fetch

COLUMN = "id"
# parameters that name a list: the reason in the account of rows, and the module that writes it
REASONS = {"exclude": "excluded", "forgotten": "forgotten"}
_WRITERS = {"exclude": "components.suspects", "forgotten": "components.forget"}


def lists(options: Options) -> dict[str, str]:
    """Return the addresses of the lists that there are, by parameter.

    No text may have been forgotten yet, so a local file ``options.forgotten`` may be missing.
    """
    found = {"exclude": options.exclude, "forgotten": options.forgotten}
    if "://" not in options.forgotten and not Path(options.forgotten).is_file():
        del found["forgotten"]
    return {parameter: address for parameter, address in found.items() if address}


def read(options: Options) -> dict[str, str]:
    """Return the reason to drop a text by its identity, from all lists of ``options``.

    Raises:
        UserError: a list cannot be read, or has no column of identities.
    """
    found: dict[str, str] = {}
    for parameter, address in lists(options).items():
        with tempfile.TemporaryDirectory() as scratch:
            for origin in fetch(replace(options, source=address), Path(scratch)):
                found |= dict.fromkeys(_identities(origin, parameter), REASONS[parameter])
    return found


def _identities(origin: Origin, parameter: str) -> list[str]:
    where = f"ingest.{parameter}: {origin.address}"
    try:
        with origin.path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if COLUMN not in (rows.fieldnames or ()):
                raise UserError(
                    f"{where}: no column {COLUMN!r}; python -m {_WRITERS[parameter]} writes one"
                )
            return [row[COLUMN] for row in rows]
    except OSError as error:
        raise UserError(f"{where}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where}: {error}") from error


def without(batch: Batch, listed: Mapping[str, str], dropped: Counter[str]) -> Batch:
    """Return the batch without the texts that are listed, and count these by reason."""
    if not listed:
        return batch
    reasons = [listed.get(identity(text or "")) for text in batch.texts]
    kept = [reason is None for reason in reasons]
    dropped.update(reason for reason in reasons if reason is not None)
    return Batch(
        [*compress(batch.texts, kept)],
        [*compress(batch.labels, kept)],
        [*compress(batch.groups, kept)],
        [*compress(batch.numbers, kept)],
        batch.unit,
    )
