"""Check reviews against limits; write a report, and exit 1 when a limit is broken."""

import hashlib
import logging
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from components import stage
from components.io import accounts, records
from components.io import reviews as tables_of
from components.io.accounts import FileAccount
from components.io.records import record
from components.stage import Artifact, parameters
from sentiment.ngram_keys import run_starts

log = logging.getLogger("validate")

# characters that a wrong encoding, or a cut inside a character, leaves in a text
_DAMAGE = re.compile(
    "\ufffd|\u00c3[\u0080-\u00bf]|\u00e2\u20ac|[\u0000-\u0008\u000e-\u001f\u0080-\u009f]"
    "|[\u00c0-\u00ff]{5}"  # Cyrillic or Greek read as a Western encoding; no word has five accents
)


def _share(default: float, description: str) -> float:
    value: float = Field(default=default, ge=0, le=1, description=description)
    return value


@parameters
class ValidationLimits:
    """Shares are of all reviews, from 0 to 1; lengths are in characters."""

    min_rows: int = Field(default=100, ge=0, description="Fewest reviews.")
    max_empty: float = _share(0.01, "Largest share of reviews without text.")
    min_class: float = _share(
        0.1, "Least share of the rarer of two classes; of N classes the rarest may have 2/N of it."
    )
    max_duplicates: float = _share(0.2, "Largest share of copies.")
    max_conflicts: float = _share(0.01, "Largest share of texts that have several labels.")
    max_length: int = Field(default=100_000, ge=1, description="Characters that a review may have.")
    max_too_long: float = _share(0.0, "Largest share of reviews with more characters.")
    max_damaged: float = _share(0.05, "Largest share of texts that were decoded wrongly.")


@record
class ValidationReport:
    """The counts, the limits, and one line for each broken limit.

    ``shares`` are of all reviews; ``length`` has quantiles in characters; ``files`` is the account
    of rows that ingest wrote, and ``content`` has a hash or the like of each source; ``classes``
    are the numbers of reviews by class.
    """

    rows: int
    sources: dict[str, int]
    shares: dict[str, float]
    length: dict[str, float]
    limits: ValidationLimits
    breaches: list[str]
    files: list[FileAccount] = Field(default_factory=list)
    classes: dict[str, int] = Field(default_factory=dict)
    content: dict[str, str] = Field(default_factory=dict)


def validate(
    tables: Iterable[pd.DataFrame],
    limits: ValidationLimits,
    classes: Sequence[str] = tables_of.CLASSES,
) -> ValidationReport:
    """Count what is wrong with the reviews and compare it with the limits.

    About twenty bytes of each review are kept, so that memory holds few texts at a time.
    """
    keys, labels, lengths = array("Q"), array("d"), array("q")
    sources: Counter[str] = Counter()
    damaged = 0
    for table in tables:
        texts = table["text"].fillna("")
        keys.extend(_fingerprint(tables_of.key(text)) for text in texts)
        labels.extend(table["label"].tolist())
        lengths.extend(map(len, texts))
        sources.update(table["source"].tolist())
        damaged += sum(_DAMAGE.search(text) is not None for text in texts)
        log.info("%d reviews read", len(keys))
    length = np.array(lengths)
    of_class = np.bincount(np.array(labels, np.int64), minlength=max(2, len(classes))).tolist()
    counted = _copies(np.array(keys), np.array(labels)) | {"smallest_class": min(of_class)}
    counted |= {"too_long": int((length > limits.max_length).sum()), "damaged": damaged}
    rows = len(length)
    shares = {name: number / rows if rows else 0.0 for name, number in counted.items()}
    breaches = [f"{rows} rows, at least {limits.min_rows} wanted"] * (rows < limits.min_rows)
    least = limits.min_class * 2 / len(of_class)
    if shares["smallest_class"] < least:
        rarest = [*classes, "another"][of_class.index(min(of_class))]
        of_classes = "" if len(of_class) == 2 else f" for {len(of_class)} classes"
        breaches.append(
            f"class {rarest} {shares['smallest_class']:.2%}, min_class is {least:.2%}{of_classes}"
        )
    for share in ("empty", "duplicates", "conflicts", "too_long", "damaged"):
        most = getattr(limits, f"max_{share}")
        if shares[share] > most:
            breaches.append(f"{share} {shares[share]:.2%}, max_{share} is {most:.2%}")
    return ValidationReport(
        rows=rows,
        sources=dict(sources.most_common()),
        shares=shares,
        length={
            name: float(np.quantile(length, q)) if rows else 0.0
            for name, q in (("median", 0.5), ("p99", 0.99), ("max", 1.0))
        },
        limits=limits,
        breaches=breaches,
        classes=dict(zip(classes, of_class, strict=False)),
    )


def _copies(keys: NDArray[np.uint64], labels: NDArray[np.float64]) -> dict[str, int]:
    """Count the empty texts, second copies, and texts that have several labels."""
    filled = keys != 0
    keys, labels = keys[filled], labels[filled]
    order = np.lexsort((labels, keys))
    texts, changes = run_starts(keys[order]), run_starts(labels[order])
    within = np.setdiff1d(changes, texts)
    return {
        "empty": int((~filled).sum()),
        "duplicates": len(keys) - len(texts),
        "conflicts": len(np.unique(np.searchsorted(texts, within))),
    }


def _fingerprint(key: str) -> int:
    """Return a hash of eight bytes, 0 for an empty text; of 10**8 texts none will collide."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) if key else 0


def run(
    reviews: Annotated[Path, Artifact("Parquet file from ingest", "Dataset")],
    report: Annotated[Path, Artifact("JSON file to write", output=True)],
    limits: ValidationLimits,
) -> int:
    found = validate(tables_of.batches(reviews), limits, tables_of.classes(reviews))
    found = replace(found, files=accounts.read(reviews), content=accounts.content(reviews))
    records.write(report, found)
    for file in found.files:
        log.info("%s", file)
    for breach in found.breaches:
        log.error("breach: %s: %s", reviews, breach)
    log.info("%d reviews, %d breaches", found.rows, len(found.breaches))
    return 1 if found.breaches else 0


def main(argv: list[str] | None = None) -> int:
    return stage.main("validate", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
