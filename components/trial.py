"""Fit candidates to a part of the training reviews and score each on the validation reviews."""

import logging
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import Field

import sentiment
from components import stage
from components.errors import UserError
from components.io import candidates, matrices, parts, records
from components.io.candidates import Candidate, CandidateText, Score, Selection, Trial
from components.io.matrices import Matrix
from components.io.parts import PartText
from components.stage import Artifact, parameters
from sentiment import negation, ngram_keys, training
from sentiment.kernel import library
from sentiment.training import Weighting
from sentiment.weighting import Frequencies

log = logging.getLogger("trial")

MAX_ITERATIONS = 8
CODE = (  # of sentiment, as in dvc.yaml
    *(
        "characters",
        "exact",
        "linear",
        "negation",
        "ngram_keys",
        "regression",
        "shards",
        "training",
        "weighting",
    ),
)


def trial(
    matrix: Matrix,
    given: Sequence[Candidate],
    output: Path,
    budget: float = 1.0,
    max_iterations: int = MAX_ITERATIONS,
) -> list[Trial]:
    """Write the trial of each candidate to a file in ``output`` and return the trials.

    ``budget`` is the share of the training shards to learn from, the first of them. A file of the
    same reviews, candidate and code is kept, so that a stopped search resumes. Files of other
    candidates are deleted: they are of an earlier search, perhaps on other reviews.
    """
    output.mkdir(parents=True, exist_ok=True)
    wanted = {f"{candidate.name}.json" for candidate in given}
    for path in output.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    rows = matrix.train[: max(1, round(budget * len(matrix.train)))]
    trials: list[Trial] = []
    counted: Frequencies | None = None
    for candidate in given:
        path = output / f"{candidate.name}.json"
        kept = _reusable(path, candidate, budget, max_iterations, matrix)
        if kept is not None:
            log.info("%s: done before", candidate.name)
            trials.append(kept)
            continue
        started = time.monotonic()
        weights, classes = weighting(matrix, candidate), len(matrix.facts.classes)
        try:
            counted = counted or training.frequencies(weights, rows, classes)
            result = training.attempt(weights, rows, matrix.valid, max_iterations, classes, counted)
        except ValueError as error:
            raise UserError(f"{candidate.name}: {error}") from error
        trials.append(
            Trial(
                candidate=candidate,
                budget=budget,
                max_iterations=max_iterations,
                data_digest=matrix.facts.data_digest,
                min_df=matrix.facts.min_df,
                stemmer=matrix.facts.stemmer,
                iterations=result.iterations,
                slope=result.slope,
                offset=result.offset,
                valid=Score(result.log_loss, result.accuracy, tuple(result.losses)),
                code_digest=_code_digest(),
            )
        )
        records.write(path, trials[-1])
        log.info(
            "%s: log loss %.4f, accuracy %.4f after %d iterations, %.1f s",
            candidate.name,
            result.log_loss,
            result.accuracy,
            result.iterations,
            time.monotonic() - started,
        )
    return trials


def _reusable(
    path: Path, candidate: Candidate, budget: float, max_iterations: int, matrix: Matrix
) -> Trial | None:
    """Return the trial in ``path`` if it is of the same candidate, reviews, budget and code."""
    if not path.exists():
        return None
    before = records.read(path, Trial)
    facts = matrix.facts
    data = (facts.data_digest, facts.min_df, facts.stemmer)
    wanted = (candidate, budget, max_iterations, *data)
    found = (
        before.candidate,
        before.budget,
        before.max_iterations,
        before.data_digest,
        before.min_df,
        before.stemmer,
    )
    return before if found == wanted and before.code_digest == _code_digest() else None


def weighting(matrix: Matrix, candidate: Candidate) -> Weighting:
    """Return how ``candidate`` weights the columns of ``matrix``."""
    return Weighting(
        min_df=matrix.facts.min_df,
        allowed=ngram_keys.lengths(matrix.keys) <= candidate.max_n,
        alpha=candidate.alpha,
        ratio_power=candidate.ratio_power,
        idf_power=candidate.idf_power,
        opposites=negation.opposites(ngram_keys.unpack(matrix.tokens), matrix.keys),
    )


def _code_digest() -> str:
    """Return the SHA-256 of the code that decides the result of a trial, the kernel's included."""
    folder = Path(str(sentiment.__file__)).parent
    paths = [Path(__file__), *(folder / f"{name}.py" for name in CODE)]
    paths += [*sorted((folder / "kernel").glob("*.py")), *library.SOURCES]
    return sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


@parameters
class Parameters:
    candidates: tuple[CandidateText, ...] = Field(
        default=("default",),
        min_length=1,
        description="Candidates to try, such as ratio_power=1,idf_power=0.5 or default.",
    )
    part: PartText = Field(default="1/1", description="Part of the candidates to try, such as 1/2.")
    selected: Path | None = Field(
        default=None, description="JSON file from select, whose candidates to try instead."
    )
    budget: float = Field(
        default=1.0, gt=0, le=1, description="Share of the training shards to learn from."
    )
    max_iterations: int = Field(
        default=MAX_ITERATIONS,
        ge=1,
        le=1000,
        description="Most iterations of a fit; the validation reviews say when to stop.",
    )


def run(
    matrix: Annotated[Path, Artifact("directory from merge", "Dataset")],
    trials: Annotated[Path, Artifact("directory to write to", output=True)],
    parameters: Parameters,
) -> None:
    names = parameters.candidates
    if parameters.selected is not None:
        names = records.read(parameters.selected, Selection).selected
    given = [candidates.parse(name) for name in parts.take(parameters.part, names)]
    trial(matrices.load(matrix), given, trials, parameters.budget, parameters.max_iterations)


def main(argv: list[str] | None = None) -> int:
    return stage.main("trial", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
