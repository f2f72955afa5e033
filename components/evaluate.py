"""Measure a model on the test reviews: metrics, curves, pictures and each prediction."""

import argparse
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn import metrics

import sentiment.model
from components import errors, plots, reviews
from components.files import replacing, replacing_directory, write_json
from components.models import load_model

log = logging.getLogger("evaluate")

CALIBRATION_BINS = 15


def measure(labels: NDArray[np.int8], p: NDArray[np.float64]) -> dict[str, float]:
    """Return the metrics of probabilities ``p`` of *positive*; a tie at 0.5 counts as negative."""
    predicted = p > 0.5
    precision, recall, _, _ = metrics.precision_recall_fscore_support(
        labels, predicted, average="binary", zero_division=0.0
    )
    values = {
        "rows": len(labels),
        "accuracy": metrics.accuracy_score(labels, predicted),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
        "precision": precision,
        "recall": recall,
        "roc_auc": metrics.roc_auc_score(labels, p),
        "log_loss": metrics.log_loss(labels, p),
        "expected_calibration_error": expected_calibration_error(labels, p),
    }
    return {name: round(float(value), 12) for name, value in values.items()}


def expected_calibration_error(labels: NDArray[np.int8], p: NDArray[np.float64]) -> float:
    """Return the mean distance of confidence and accuracy, over 15 bins of equal width.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    confidence = np.maximum(p, 1 - p)
    correct = (p > 0.5) == (labels == 1)
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, confidence - correct, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def evaluate(
    model_directory: Path, test: pd.DataFrame
) -> tuple[dict[str, float], NDArray[np.float64]]:
    """Return the metrics and the probability of *positive* for each test review."""
    model = load_model(model_directory)
    log.info("scoring %d reviews", len(test))
    p = sentiment.model.probabilities(model, test["text"])
    return measure(test["label"].to_numpy(), p), p


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.evaluate", description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="directory from select")
    parser.add_argument("--test", required=True, type=Path, help="Parquet file from prepare")
    parser.add_argument("--predictions", required=True, type=Path, help="Parquet file to write")
    parser.add_argument("--plots", required=True, type=Path, help="directory to write")
    parser.add_argument("--metrics", required=True, type=Path, help="JSON file to write")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)

    def work() -> None:
        test = reviews.read_labelled(args.test)
        values, p = evaluate(args.model, test)
        predictions = test.assign(probability=p, predicted=(p > 0.5).astype("int8"))
        with replacing(args.predictions) as partial:
            table = pa.Table.from_pandas(predictions, preserve_index=False)
            pq.write_table(table, partial, compression="zstd")
        with replacing_directory(args.plots) as partial:
            plots.write(test["label"].to_numpy(), p, partial)
        write_json(args.metrics, values)
        for name, value in values.items():
            log.info("%-26s %.4f", name, value)

    return errors.run("evaluate", work)


if __name__ == "__main__":
    raise SystemExit(main())
