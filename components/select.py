"""Keep the candidates that do best on the validation reviews: a rung of successive halving."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from components import stage
from components.io import records
from components.io.candidates import Selection, read_trials
from components.stage import Artifact, parameters

log = logging.getLogger("select")


def select(trials: Sequence[Path], keep: int) -> Selection:
    """Return the names of the ``keep`` best candidates, and all trials.

    ``trials`` are directories that trial wrote. Source: Jamieson and Talwalkar 2016,
    "Non-stochastic Best Arm Identification and Hyperparameter Optimization".
    """
    ranked = read_trials(trials)
    names = [trial.candidate.name for trial in ranked]
    return Selection(selected=tuple(names[:keep]), trials=tuple(ranked))


@parameters
class Parameters:
    keep: int = Field(default=1, ge=1, description="Candidates to keep.")


def run(
    trials: Annotated[list[Path], Artifact("directories from trial")],
    selection: Annotated[Path, Artifact("JSON file to write", output=True)],
    parameters: Parameters,
) -> None:
    chosen = select(trials, parameters.keep)
    for trial in chosen.trials:
        name = trial.candidate.name
        outcome = "kept" if name in chosen.selected else "dropped"
        figures = trial.valid.log_loss, trial.valid.accuracy
        log.info("log loss %.4f, accuracy %.4f: %s, %s", *figures, name, outcome)
    records.write(selection, chosen)


def main(argv: list[str] | None = None) -> int:
    return stage.main("select", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
