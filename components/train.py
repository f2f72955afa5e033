"""Fit the model that the search found best to all reviews but the test reviews."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import sentiment.model
import sentiment.store
from components import stage, trial
from components.errors import UserError
from components.io import candidates, matrices, records
from components.io.candidates import Selection
from components.io.files import replacing_directory
from components.io.matrices import Matrix
from components.io.models import TRIALS_FILE, TrainingFacts
from components.stage import Artifact
from sentiment import training
from sentiment.regression import Linear
from sentiment.store import FACTS_FILE

log = logging.getLogger("train")


def train(matrix: Matrix, selections: Sequence[Path], output: Path) -> TrainingFacts:
    """Write the model and the facts of its training to the directory ``output``; return the facts.

    ``selections`` are the files from select, one for each rung. The best trial of the largest
    budget gives the candidate, the iterations and the calibration. The model is fitted to the
    training and the validation reviews.

    Raises:
        UserError: the selections are not of the reviews in ``matrix``.
    """
    ranked = candidates.ranked(
        trial for path in selections for trial in records.read(path, Selection).trials
    )
    best = ranked[0]
    if best.data_digest != matrix.facts.data_digest:
        raise UserError("--selections: not of these reviews; run trial and select again")
    linear = training.fit(
        trial.weighting(matrix, best.candidate),
        [*matrix.train, *matrix.valid],
        iterations=best.iterations,
        slope=best.slope,
        offset=best.offset,
        classes=len(matrix.facts.classes),
    )
    used = linear.squares > 0  # the other columns add nothing to a score
    parameters = records.plain(best.candidate) | {
        "min_df": matrix.facts.min_df,
        "iterations": best.iterations,
    }
    pipeline = sentiment.model.build(**parameters)
    pipeline["ngrams"].adopt(matrix.tokens, matrix.keys[used])
    pipeline["classifier"].adopt(
        Linear(linear.weights[used], linear.squares[used], linear.intercept), matrix.facts.classes
    )
    with replacing_directory(output) as partial:
        facts = TrainingFacts(
            rows=sum(matrix.facts.rows.values()),
            features=int(used.sum()),
            data_digest=matrix.facts.data_digest,
            parameters=parameters,
            valid=best.valid,
            model_digest=sentiment.store.save(pipeline, partial),
            classes=matrix.facts.classes,
        )
        records.write(partial / FACTS_FILE, facts)
        records.write(partial / TRIALS_FILE, ranked)
    return facts


def selection_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files, with the JSON files of a directory in its place."""
    return [
        file
        for path in paths
        for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])
    ]


def run(
    matrix: Annotated[Path, Artifact("directory from merge", "Dataset")],
    selections: Annotated[list[Path], Artifact("JSON files from select, or directories of them")],
    model: Annotated[Path, Artifact("directory to write", "Model", output=True)],
) -> None:
    files = selection_files(selections)
    if not files:
        raise UserError(f"--selections {', '.join(map(str, selections))}: no JSON files there")
    facts = train(matrices.load(matrix), files, model)
    log.info("%s", facts.parameters)
    message = "%d reviews, %d n-grams, model %s in %s"
    log.info(message, facts.rows, facts.features, facts.model_digest[:12], model)


def main(argv: list[str] | None = None) -> int:
    return stage.main("train", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
