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
from components.io.candidates import Selection, Trial
from components.io.files import replacing_directory
from components.io.matrices import Matrix
from components.io.models import TRIALS_FILE, TrainingFacts
from components.stage import Artifact
from sentiment import training
from sentiment.linear import Linear
from sentiment.model_file import FACTS_FILE
from sentiment.shards import Shard

log = logging.getLogger("train")


def train(matrix: Matrix, selections: Sequence[Path], output: Path) -> TrainingFacts:
    """Write the model and the facts of its training to the directory ``output``; return the facts.

    ``selections`` are the files from select, one for each rung. The best trial of the largest
    budget gives the candidate, the iterations and the calibration. The model is fitted to the
    training and the validation reviews.

    Raises:
        UserError: the selections are not of the reviews in ``matrix``.
    """
    ranked = trials_of(matrix, selections)
    best = ranked[0]
    linear = fit(matrix, best, [*matrix.train, *matrix.valid])
    used = linear.squares > 0  # the other columns add nothing to a score
    parameters = records.plain(best.candidate) | {
        "min_df": matrix.facts.min_df,
        "iterations": best.iterations,
    }
    if matrix.facts.stemmer:
        parameters["stemmer"] = matrix.facts.stemmer
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


def trials_of(matrix: Matrix, selections: Sequence[Path]) -> list[Trial]:
    """Return the trials in the files from select, the best first.

    Raises:
        UserError: they are not of the reviews in ``matrix``.
    """
    ranked = candidates.ranked(
        trial for path in selections for trial in records.read(path, Selection).trials
    )
    best, facts = ranked[0], matrix.facts
    if (best.data_digest, best.stemmer) != (facts.data_digest, facts.stemmer):
        raise UserError("--selections: not of these reviews; run trial and select again")
    return ranked


def fit(matrix: Matrix, best: Trial, rows: Sequence[Shard]) -> Linear:
    """Fit the candidate of a trial, with its iterations and calibration, to ``rows``.

    Raises:
        UserError: no n-gram correlates with the labels.
    """
    try:
        return training.fit(
            trial.weighting(matrix, best.candidate),
            rows,
            iterations=best.iterations,
            slope=best.slope,
            offset=best.offset,
            classes=len(matrix.facts.classes),
        )
    except ValueError as error:
        raise UserError(f"{best.candidate.name}: {error}") from error


def selection_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files, with the JSON files of a directory in its place.

    Raises:
        UserError: there are none.
    """
    given = [*paths]
    found = [
        file
        for path in given
        for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])
    ]
    if not found:
        raise UserError(f"--selections {', '.join(map(str, given))}: no JSON files there")
    return found


def run(
    matrix: Annotated[Path, Artifact("directory from merge", "Dataset")],
    selections: Annotated[list[Path], Artifact("JSON files from select, or directories of them")],
    model: Annotated[Path, Artifact("directory to write", "Model", output=True)],
) -> None:
    facts = train(matrices.load(matrix), selection_files(selections), model)
    log.info("%s", facts.parameters)
    message = "%d reviews, %d n-grams, model %s in %s"
    log.info(message, facts.rows, facts.features, facts.model_digest[:12], model)


def main(argv: list[str] | None = None) -> int:
    return stage.main("train", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
