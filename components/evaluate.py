"""Measure a model on the test reviews: metrics, curves, pictures and each prediction."""

import argparse
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.pipeline import Pipeline

from components import cli
from components.io import reviews
from components.io.files import read_json, replacing, replacing_directory, write_json
from components.io.models import TRIALS_FILE, load_model
from components.report import measures, plots
from sentiment import behaviour, drift

log = logging.getLogger("evaluate")

PREDICTIONS = pa.schema([*reviews.SCHEMA, ("probability", pa.float64()), ("predicted", pa.int8())])


def evaluate(
    model_directory: Path, test: Iterable[pd.DataFrame], predictions: Path
) -> tuple[dict[str, float], dict[str, Any], pd.DataFrame]:
    """Write each prediction, and return the metrics, all else that is found, and the scores.

    The findings are ``slices``, ``calibration``, ``behaviour`` (see :mod:`sentiment.behaviour`)
    and the ``reference`` that monitor compares requests with. The scores are label, source and
    the statistics of :mod:`sentiment.drift` for each review; the texts are not kept in memory.
    """
    model = load_model(model_directory)
    scored = pd.concat(_score(model, test, predictions), ignore_index=True)
    labels, p = scored["label"].to_numpy(), scored["score"].to_numpy()
    statistics = {name: scored[name].to_numpy() for name in drift.STATISTICS}
    findings = {
        "slices": measures.slices(scored, p, statistics["length"]),
        "calibration": measures.calibration(labels, p),
        "behaviour": behaviour.run(model),
        "reference": drift.reference(statistics),
    }
    return measures.measure(labels, p), findings, scored


def _score(
    model: Pipeline, test: Iterable[pd.DataFrame], predictions: Path
) -> Iterator[pd.DataFrame]:
    done = 0
    with (
        replacing(predictions) as partial,
        pq.ParquetWriter(partial, PREDICTIONS, compression="zstd") as writer,
    ):
        for table in test:
            statistics = drift.describe(model, table["text"].tolist())
            p = statistics["score"]
            predicted = table.assign(probability=p, predicted=(p > 0.5).astype("int8"))
            writer.write_table(pa.Table.from_pandas(predicted, PREDICTIONS, preserve_index=False))
            done += len(table)
            log.info("%d reviews scored", done)
            yield table[["label", "source"]].assign(**statistics)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.evaluate", description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="directory from train")
    parser.add_argument("--test", required=True, type=Path, help="directory from prepare")
    parser.add_argument("--predictions", required=True, type=Path, help="Parquet file to write")
    parser.add_argument("--plots", required=True, type=Path, help="directory to write")
    parser.add_argument("--findings", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--metrics", required=True, type=Path, help="JSON file to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        test = reviews.labelled(args.test)
        values, findings, scored = evaluate(args.model, test, args.predictions)
        trials = read_json(args.model / TRIALS_FILE)
        with replacing_directory(args.plots) as partial:
            plots.write(scored["label"].to_numpy(), scored["score"].to_numpy(), partial)
            plots.write_trials(trials, partial)
        write_json(args.findings, findings)
        write_json(args.metrics, values)
        for name, value in values.items():
            log.info("%-26s %.4f", name, value)
        for result in findings["behaviour"]:
            log.info("%(capability)-26s %(passed)d of %(cases)d", result)

    return cli.run("evaluate", work)


if __name__ == "__main__":
    raise SystemExit(main())
