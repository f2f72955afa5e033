"""Check reviews against limits; write a report, and exit 1 when a limit is passed."""

import argparse
import logging
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from components import errors, reviews
from components.files import write_json

log = logging.getLogger("validate")

# what is left of text that was decoded with the wrong table, or cut inside a character
_DAMAGE = "\ufffd|\u00c3[\u0080-\u00bf]|\u00e2\u20ac|[\u0000-\u0008\u000e-\u001f\u0080-\u009f]"


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


def validate(table: pd.DataFrame, limits: Limits) -> dict[str, Any]:
    """Return the report: what was counted, the limits, and one line for each limit passed."""
    rows = len(table)
    texts = table["text"].fillna("")
    keys = texts.map(reviews.key)
    filled = keys != ""
    labels_of_text = table[filled].groupby(keys[filled])["label"].nunique()
    lengths = texts.str.len()
    positive = float(table["label"].mean()) if rows else 0.0
    shares = {
        "empty": float((~filled).mean()) if rows else 0.0,
        "smaller_class": min(positive, 1 - positive),
        "duplicates": float(keys[filled].duplicated().sum() / rows) if rows else 0.0,
        "conflicts": float((labels_of_text > 1).sum() / rows) if rows else 0.0,
        "too_long": float((lengths > limits.max_length).mean()) if rows else 0.0,
        "damaged": float(texts.str.contains(_DAMAGE).mean()) if rows else 0.0,
    }
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
        "sources": {name: int(n) for name, n in table["source"].value_counts().items()},
        "shares": shares,
        "length": {
            name: float(lengths.quantile(q)) if rows else 0.0
            for name, q in (("median", 0.5), ("p99", 0.99), ("max", 1.0))
        },
        "limits": asdict(limits),
        "breaches": breaches,
    }


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
        report = validate(reviews.read(args.reviews), limits)
        write_json(args.report, report)
        for breach in report["breaches"]:
            log.error("breach: %s: %s", args.reviews, breach)
        log.info("%d reviews, %d breaches", report["rows"], len(report["breaches"]))
        return 1 if report["breaches"] else 0

    return errors.run("validate", work)


if __name__ == "__main__":
    raise SystemExit(main())
