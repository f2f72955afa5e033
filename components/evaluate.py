"""Measure a model on the test reviews: metrics, curves, plots and each prediction."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from components import stage
from components.behaviour import judging, reading
from components.behaviour.reading import Parameters
from components.errors import UserError
from components.io import records, reviews
from components.io.files import replacing, replacing_directory, write_json
from components.io.models import load_trials, read_model
from components.report import languages, measures
from components.report.plots import write_curves, write_trials
from components.stage import Artifact
from sentiment import drift, unseen
from sentiment.model import class_names, probabilities

log = logging.getLogger("evaluate")

_SCORED = pa.schema([*reviews.SCHEMA, ("predicted", pa.int8())])
# the probability of the second of two classes, or those of all of more
PREDICTIONS = _SCORED.append(pa.field("probability", pa.float64()))
PREDICTIONS_OF_MORE = _SCORED.append(pa.field("probabilities", pa.list_(pa.float64())))


class Scored(NamedTuple):
    """The test reviews and their probabilities, shape (reviews, classes).

    ``table`` has label, source and the statistics of :mod:`sentiment.drift` for each review;
    memory does not keep the texts.
    """

    table: pd.DataFrame
    p: NDArray[np.float64]


def evaluate(
    model_directory: Path, test: Iterable[pd.DataFrame], predictions: Path
) -> tuple[dict[str, float], dict[str, Any], Scored]:
    """Write each prediction; return the metrics, the findings and the scores.

    The findings are ``classes``, ``slices``, ``groups``, ``calibration``, the ``reference`` that
    monitor compares requests with, and the ``unseen_limit`` by which the predictor recognises other
    languages.
    """
    model = read_model(model_directory)
    tables, p = zip(*_score(model, test, predictions), strict=True)
    scored = Scored(pd.concat(tables, ignore_index=True), np.concatenate(p))
    labels, names = scored.table["label"].to_numpy(), class_names(model)
    facts = scored.table.columns.intersection(["label", "source", "group"])
    statistics = {
        str(name): values.to_numpy() for name, values in scored.table.drop(columns=facts).items()
    }
    slices = measures.slices(scored.table, scored.p, statistics["length"])
    findings = {
        "classes": measures.classes(labels, scored.p, names),
        "slices": slices,
        "groups": measures.groups(scored.table),
        "calibration": measures.calibration(labels, scored.p),
        "reference": drift.reference(statistics, len(names)),
        "unseen_limit": unseen.limit(statistics["length"], statistics["unknown"]),
    }
    return measures.measure(labels, scored.p) | measures.by_source(slices), findings, scored


def freshly_labelled(model_directory: Path, test: Path) -> dict[str, float]:
    """Return the metrics of the labelled predictions that are tested apart; none without them."""
    folder = reviews.freshly_labelled(test)
    if folder is None:
        return {}
    model = read_model(model_directory)
    right = [
        probabilities(model, table["text"].tolist()).argmax(axis=1) == table["label"]
        for table in map(reviews.read, reviews.shards(folder))
    ]
    rows = sum(map(len, right))
    return {
        "labelled_rows": float(rows),
        "labelled_accuracy": round(float(sum(map(np.sum, right)) / rows), 12),
    }


def describe(model_directory: Path, train: Path, behaviour: str) -> dict[str, Any]:
    """Return the findings that no test review is needed for.

    They are ``languages``, those of the training reviews, and ``behaviour``, by the suite that the
    parameter of this name names.
    """
    suite = reading.read(behaviour)
    texts = (text for shard in reviews.shards(train) for text in _texts(shard))
    found = languages.shares(texts)
    name = behaviour if behaviour in (reading.BUILTIN, reading.NONE) else Path(behaviour).name
    judged = judging.judge(read_model(model_directory), name, suite, found)
    return {"languages": records.plain(found), "behaviour": records.plain(judged)}


def _texts(shard: Path) -> Iterator[str]:
    for batch in reviews.batches(shard):
        yield from batch["text"].dropna()


def _score(
    model: Pipeline, test: Iterable[pd.DataFrame], predictions: Path
) -> Iterator[tuple[pd.DataFrame, NDArray[np.float64]]]:
    schema = PREDICTIONS if len(class_names(model)) == 2 else PREDICTIONS_OF_MORE
    done = 0
    with (
        replacing(predictions) as partial,
        pq.ParquetWriter(partial, schema, compression="zstd") as writer,
    ):
        for table in test:
            texts = table["text"].tolist()
            p = probabilities(model, texts)
            shown = p[:, 1] if schema is PREDICTIONS else list(p)
            predicted = table.assign(
                predicted=p.argmax(axis=1).astype("int8"), **{schema.names[-1]: shown}
            )
            writer.write_table(pa.Table.from_pandas(predicted, schema, preserve_index=False))
            done += len(table)
            log.info("%d reviews scored", done)
            yield table.drop(columns="text").assign(**drift.describe(model, texts, p)), p


def run(
    model: Annotated[Path, Artifact("directory from train", "Model")],
    train: Annotated[Path, Artifact("directory from prepare", "Dataset")],
    test: Annotated[Path, Artifact("directory from prepare", "Dataset")],
    predictions: Annotated[Path, Artifact("Parquet file to write", "Dataset", output=True)],
    plots: Annotated[Path, Artifact("directory to write", output=True)],
    findings: Annotated[Path, Artifact("JSON file to write", output=True)],
    metrics: Annotated[Path, Artifact("JSON file to write", output=True)],
    parameters: Parameters,
) -> None:
    names, tested = class_names(read_model(model)), reviews.classes(test)
    if names != tested:
        both = f"{', '.join(tested)}, and those of the model {', '.join(names)}"
        raise UserError(f"--test {test}: its classes are {both}")
    described = describe(model, train, parameters.behaviour)
    values, found, scored = evaluate(model, reviews.labelled(test), predictions)
    values |= freshly_labelled(model, test)
    with replacing_directory(plots) as partial:
        write_curves(scored.table["label"].to_numpy(), scored.p, names, partial)
        write_trials(load_trials(model), partial)
    write_json(findings, found | described)
    write_json(metrics, values)
    for name, value in values.items():
        log.info("%-26s %.4f", name, value)
    shares = [languages.Share(**each) for each in described["languages"]]
    log.info("the training reviews are in %s", languages.describe(shares))
    behaviour = described["behaviour"]
    for result in behaviour["results"]:
        log.info("%(capability)-26s %(passed)d of %(cases)d", result)
    if "unfit" in behaviour:
        log.info("no behaviour was judged: %s", behaviour["unfit"])


def main(argv: list[str] | None = None) -> int:
    return stage.main("evaluate", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
