"""Measure a model on the test reviews: metrics, curves, plots and each prediction."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.pipeline import Pipeline

from components import stage
from components.io import reviews
from components.io.files import replacing, replacing_directory, write_json
from components.io.models import load_model, load_trials
from components.report import measures
from components.report.plots import write_curves, write_trials
from components.stage import Artifact
from sentiment import behaviour, drift

log = logging.getLogger("evaluate")

PREDICTIONS = pa.schema([*reviews.SCHEMA, ("probability", pa.float64()), ("predicted", pa.int8())])


def evaluate(
    model_directory: Path, test: Iterable[pd.DataFrame], predictions: Path
) -> tuple[dict[str, float], dict[str, Any], pd.DataFrame]:
    """Write each prediction; return the metrics, the findings and the scores.

    The findings are ``slices``, ``groups``, ``calibration``, ``behaviour`` (see
    :mod:`sentiment.behaviour`) and the ``reference`` that monitor compares requests with. The
    scores are label, source, perhaps group, and the statistics of :mod:`sentiment.drift` for each
    review; memory does not keep the texts.
    """
    model = load_model(model_directory)
    scored = pd.concat(_score(model, test, predictions), ignore_index=True)
    labels, p = scored["label"].to_numpy(), scored["score"].to_numpy()
    statistics = {name: scored[name].to_numpy() for name in drift.STATISTICS}
    slices = measures.slices(scored, p, statistics["length"])
    findings = {
        "slices": slices,
        "groups": measures.groups(scored),
        "calibration": measures.calibration(labels, p),
        "behaviour": behaviour.run(model),
        "reference": drift.reference(statistics),
    }
    return measures.measure(labels, p) | measures.by_source(slices), findings, scored


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
            yield table.drop(columns="text").assign(**statistics)


def run(
    model: Annotated[Path, Artifact("directory from train", "Model")],
    test: Annotated[Path, Artifact("directory from prepare", "Dataset")],
    predictions: Annotated[Path, Artifact("Parquet file to write", "Dataset", output=True)],
    plots: Annotated[Path, Artifact("directory to write", output=True)],
    findings: Annotated[Path, Artifact("JSON file to write", output=True)],
    metrics: Annotated[Path, Artifact("JSON file to write", output=True)],
) -> None:
    values, found, scores = evaluate(model, reviews.labelled(test), predictions)
    with replacing_directory(plots) as partial:
        write_curves(scores["label"].to_numpy(), scores["score"].to_numpy(), partial)
        write_trials(load_trials(model), partial)
    write_json(findings, found)
    write_json(metrics, values)
    for name, value in values.items():
        log.info("%-26s %.4f", name, value)
    for result in found["behaviour"]:
        log.info("%(capability)-26s %(passed)d of %(cases)d", result)


def main(argv: list[str] | None = None) -> int:
    return stage.main("evaluate", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
