"""Check reviews against limits; write a report, and exit 1 when a limit is passed."""

import argparse
import hashlib
import logging
import re
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components import cli
from components.io import reviews
from components.io.files import write_json
from sentiment.ngrams import run_starts

log = logging.getLogger("validate")

# what is left of text that was decoded with the wrong table, or cut inside a character
_DAMAGE = re.compile(
    "\ufffd|\u00c3[\u0080-\u00bf]|\u00e2\u20ac|[\u0000-\u0008\u000e-\u001f\u0080-\u009f]"
)


@dataclass(frozen=True)
class Limits:
    """Shares are of all reviews, from 0 to 1; lengths are in characters."""

    min_rows: int = 100
    max_empty: float = 0.01
    min_class: float = 0.1
    max_duplicates: float = 0.2
    max_conflicts: float = 0.01
    max_length: int = 100_000
    max_too_long: float = 0.0
    max_damaged: float = 0.05


def validate(tables: Iterable[pd.DataFrame], limits: Limits) -> dict[str, Any]:
    """Return the report: what was counted, the limits, and one line for each limit passed.

    Of each review some twenty bytes are kept, so that memory holds few of the texts at a time.
    """
    keys, labels, lengths = array("Q"), array("d"), array("q")
    sources: Counter[str] = Counter()
    damaged = 0
    for table in tables:
        texts = table["text"].fillna("")
        keys.extend(_fingerprint(reviews.key(text)) for text in texts)
        labels.extend(table["label"].tolist())
        lengths.extend(map(len, texts))
        sources.update(table["source"].tolist())
        damaged += sum(_DAMAGE.search(text) is not None for text in texts)
        log.info("%d reviews read", len(keys))
    length = np.array(lengths)
    counted = _copies(np.array(keys), np.array(labels))
    counted |= {"too_long": int((length > limits.max_length).sum()), "damaged": damaged}
    rows = len(length)
    shares = {name: number / rows if rows else 0.0 for name, number in counted.items()}
    breaches = [f"{rows} rows, at least {limits.min_rows} wanted"] * (rows < limits.min_rows)
    for share, flag, passed in (
        ("empty", "max_empty", shares["empty"] > limits.max_empty),
        ("smaller_class", "min_class", shares["smaller_class"] < limits.min_class),
        ("duplicates", "max_duplicates", shares["duplicates"] > limits.max_duplicates),
        ("conflicts", "max_conflicts", shares["conflicts"] > limits.max_conflicts),
        ("too_long", "max_too_long", shares["too_long"] > limits.max_too_long),
        ("damaged", "max_damaged", shares["damaged"] > limits.max_damaged),
    ):
        if passed:
            breaches.append(f"{share} {shares[share]:.2%}, {flag} is {getattr(limits, flag):.2%}")
    return {
        "rows": rows,
        "sources": dict(sources.most_common()),
        "shares": shares,
        "length": {
            name: float(np.quantile(length, q)) if rows else 0.0
            for name, q in (("median", 0.5), ("p99", 0.99), ("max", 1.0))
        },
        "limits": asdict(limits),
        "breaches": breaches,
    }


def _copies(keys: NDArray[np.uint64], labels: NDArray[np.float64]) -> dict[str, int]:
    """Count the empty texts, the rarer label, second copies, and texts that have both labels."""
    positive = int(labels.sum())
    filled = keys != 0
    keys, labels = keys[filled], labels[filled]
    order = np.lexsort((labels, keys))
    texts, changes = run_starts(keys[order]), run_starts(labels[order])
    return {
        "empty": int((~filled).sum()),
        "smaller_class": min(positive, len(filled) - positive),
        "duplicates": len(keys) - len(texts),
        "conflicts": len(np.union1d(texts, changes)) - len(texts),
    }


def _fingerprint(key: str) -> int:
    """Return eight bytes that stand for a text, 0 for none; of 10**8 texts no two will be alike."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) if key else 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.validate", description=__doc__)
    parser.add_argument("--reviews", required=True, type=Path, help="Parquet file from ingest")
    parser.add_argument("--report", required=True, type=Path, help="JSON file to write")
    for field in fields(Limits):
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=type(field.default),
            default=field.default,
            help="default: %(default)s",
        )
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    limits = Limits(**{field.name: getattr(args, field.name) for field in fields(Limits)})

    def work() -> int:
        report = validate(reviews.batches(args.reviews), limits)
        write_json(args.report, report)
        for breach in report["breaches"]:
            log.error("breach: %s: %s", args.reviews, breach)
        log.info("%d reviews, %d breaches", report["rows"], len(report["breaches"]))
        return 1 if report["breaches"] else 0

    return cli.run("validate", work)


if __name__ == "__main__":
    raise SystemExit(main())
