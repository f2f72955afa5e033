"""Compare captured requests with the reviews that the champion was checked on."""

import argparse
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from components import cli
from components.arguments import count, positive
from components.errors import UserError
from components.io import formats, registry
from components.io.files import read_json, replacing, write_json
from components.io.formats import ENDINGS, FORMATS
from components.io.models import load_model
from components.io.sources import fetch
from sentiment import drift
from sentiment.store import FINDINGS_FILE

log = logging.getLogger("monitor")

MEANING = {
    "score": "probability of positive",
    "length": "tokens in a text",
    "unknown": "share of tokens that the model does not know",
}


def monitor(name: str, texts: Sequence[str], max_psi: float, min_rows: int) -> dict[str, Any]:
    """Return whether the texts have drifted from the champion's reference, why, and the figures.

    They have when the population stability index of any statistic is above ``max_psi``. Fewer
    than ``min_rows`` texts say nothing: the index of few texts is large by chance alone.
    """
    with registry.connected() as client, tempfile.TemporaryDirectory() as scratch:
        champion = registry.alias_version(client, name, registry.CHAMPION)
        if champion is None:
            raise UserError(f"{name} has no champion to compare with; run the training pipeline")
        folder = registry.download(client, champion, Path(scratch))
        model, reference = load_model(folder), read_json(folder / FINDINGS_FILE)["reference"]
    found: dict[str, Any] = {"name": name, "version": str(champion.version), "rows": len(texts)}
    if len(texts) < min_rows:
        why = f"{len(texts)} captured requests, too few to tell; {min_rows} are needed"
        return found | {"drifted": False, "why": why, "stability": {}, "means": {}}
    log.info("scoring %d texts with version %s", len(texts), champion.version)
    statistics = drift.describe(model, texts)
    stability = drift.stability(reference, statistics)
    passed = [f"{key} {value:.3f}" for key, value in stability.items() if value > max_psi]
    limit = f"a population stability index of {max_psi}"
    why = f"{', '.join(passed)}: above {limit}" if passed else f"nothing is above {limit}"
    means = {key: float(values.mean()) for key, values in statistics.items()}
    return found | {"drifted": bool(passed), "why": why, "stability": stability, "means": means}


def report(drift: dict[str, Any]) -> str:
    """Return what :func:`monitor` found as Markdown."""
    rows = "\n".join(
        f"| {key} | {MEANING[key]} | {value:.4f} | {drift['means'][key]:.4f} |"
        for key, value in drift["stability"].items()
    )
    return f"""# {"Drift" if drift["drifted"] else "No drift"}: {drift["name"]} {drift["version"]}

{drift["why"]}

{drift["rows"]} captured requests, against the champion's test reviews:

| | | stability index | mean |
|---|---|---|---|
{rows}
"""


def read_texts(source: str, column: str, format: str | None) -> list[str]:
    """Return the texts of captured requests, in the order of files and rows."""
    found: list[pd.Series] = []
    with tempfile.TemporaryDirectory() as scratch:
        for origin in fetch(source, Path(scratch), [""] if format else ENDINGS):
            address = origin.address
            tables = list(formats.read(origin.path, format, "utf-8", address))
            if not tables:  # a quiet day
                continue
            texts = pd.concat([_column(t, column, address) for t in tables], ignore_index=True)
            wrong = ~texts.map(lambda value: isinstance(value, str)).to_numpy()
            if wrong.any():
                raise UserError(f"{address}: request {wrong.argmax() + 1} has no text")
            found.append(texts)
    return [text for texts in found for text in texts]


def _column(table: pd.DataFrame, column: str, source: str) -> pd.Series:
    if column not in table.columns:
        found = ", ".join(map(str, table.columns))
        raise UserError(f"{source}: no column {column!r} among ({found}); see --text-column")
    return table[column]


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.monitor", description=__doc__)
    parser.add_argument(
        "--captured", required=True, help="captured requests, a source such as ingest's"
    )
    parser.add_argument(
        "--text-column", default="data.text", help="default: %(default)s, as the predictor captures"
    )
    parser.add_argument("--format", choices=FORMATS, help="default: by the ending of the name")
    parser.add_argument("--name", default="sentiment", help="default: %(default)s")
    parser.add_argument("--max-psi", type=positive, default=0.2, help="default: %(default)s")
    parser.add_argument("--min-rows", type=count, default=200, help="default: %(default)s")
    parser.add_argument(
        "--newest", type=count, default=20_000, help="requests to look at; default: the last 20000"
    )
    parser.add_argument("--drift", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--report", required=True, type=Path, help="Markdown file to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        texts = read_texts(args.captured, args.text_column, args.format)[-args.newest :]
        found = monitor(args.name, texts, args.max_psi, args.min_rows)
        with replacing(args.report) as partial:
            partial.write_text(report(found))
        write_json(args.drift, found)
        log.info("%s: %s", "drift" if found["drifted"] else "no drift", found["why"])

    return cli.run("monitor", work)


if __name__ == "__main__":
    raise SystemExit(main())
