"""Measure a model on the test reviews: metrics, curves, pictures and each prediction."""

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components import errors, measures, plots, reviews
from components.files import replacing, replacing_directory, write_json
from components.models import load_model
from sentiment import behaviour, drift

log = logging.getLogger("evaluate")


def evaluate(
    model_directory: Path, test: pd.DataFrame
) -> tuple[dict[str, float], dict[str, Any], NDArray[np.float64]]:
    """Return the metrics, all else that is found, and the probability for each test review.

    The findings are ``slices``, ``calibration``, ``behaviour`` (see :mod:`sentiment.behaviour`)
    and the ``reference`` that monitor compares requests with.
    """
    model = load_model(model_directory)
    log.info("scoring %d reviews", len(test))
    statistics = drift.describe(model, test["text"].tolist())
    p, labels = statistics["score"], test["label"].to_numpy()
    findings = {
        "slices": measures.slices(test, p, statistics["length"]),
        "calibration": measures.calibration(labels, p),
        "behaviour": behaviour.run(model),
        "reference": drift.reference(statistics),
    }
    return measures.measure(labels, p), findings, p


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
        test = reviews.read_labelled(args.test)
        values, findings, p = evaluate(args.model, test)
        predictions = test.assign(probability=p, predicted=(p > 0.5).astype("int8"))
        with replacing(args.predictions) as partial:
            table = pa.Table.from_pandas(predictions, preserve_index=False)
            pq.write_table(table, partial, compression="zstd")
        with replacing_directory(args.plots) as partial:
            plots.write(test["label"].to_numpy(), p, partial)
        write_json(args.findings, findings)
        write_json(args.metrics, values)
        for name, value in values.items():
            log.info("%-26s %.4f", name, value)
        for result in findings["behaviour"]:
            log.info("%(capability)-26s %(passed)d of %(cases)d", result)

    return errors.run("evaluate", work)


if __name__ == "__main__":
    raise SystemExit(main())
