"""Candidates of the search, and what the trials found of them."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from components.errors import UserError
from components.io import records
from components.io.records import record
from components.stage import parameters


@parameters
class Candidate:
    """One configuration in the search; the defaults are those of the model.

    The powers are multiples of one half, because :mod:`sentiment.exact` takes no others.
    """

    alpha: float = Field(default=1.0, gt=0, le=1e6)
    idf_power: float = Field(
        default=1.5, ge=0, le=8, multiple_of=0.5
    )  # exact.power takes no others
    max_n: int = Field(default=3, ge=1)  # no effect above the max_n of count
    ratio_power: float = Field(default=0.5, ge=0, le=8, multiple_of=0.5)

    @property
    def name(self) -> str:
        """The text that :func:`parse` reads."""
        return _text(records.plain(self))

    @property
    def difference(self) -> str:
        """The text of the values that differ from the default, or ``default``."""
        values = records.plain(self).items()
        return _text({key: value for key, value in values if value != DEFAULTS[key]}) or "default"


DEFAULTS: dict[str, float] = records.plain(Candidate())


def _text(values: dict[str, float]) -> str:
    return ",".join(f"{key}={_exact(value)}" for key, value in sorted(values.items()))


def _exact(value: float) -> str:
    """Return a short text of a number that parses to the same number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def parse(text: str) -> Candidate:
    """Parse ``idf_power=1,max_n=2``; ``default`` sets nothing.

    Raises:
        ValueError: a name is unknown, or its value is of the wrong type or out of range.
    """
    values: dict[str, str] = {}
    for setting in text.split(",") if text != "default" else []:
        name, _, value = setting.strip().partition("=")
        if name not in DEFAULTS:
            raise ValueError(f"{setting!r} sets none of {', '.join(DEFAULTS)}")
        values[name] = value
    try:
        return TypeAdapter(Candidate).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        reason = str(first["msg"]).replace("Input should", "it should")
        raise ValueError(f"{text}: {first['loc'][0]}: {reason}") from None


def _checked(text: str) -> str:
    parse(text)
    return text


Positive = Annotated[float, Field(gt=0)]
CandidateText = Annotated[str, AfterValidator(_checked)]


@record
class Score:
    """Measures of a trial on the validation reviews; ``losses`` are log losses by iteration."""

    log_loss: float
    accuracy: float
    losses: tuple[float, ...]


@record
class Trial:
    """A candidate that was fitted to the share ``budget`` of the training reviews.

    ``slope`` and ``offset`` are those of the calibration, tuples for more than two classes;
    ``stemmer`` is that of the matrix.
    ``code_digest`` is only in the files of the stage trial: a changed comment changes it, and no
    result.
    """

    candidate: Candidate
    budget: float = Field(gt=0, le=1)
    max_iterations: int = Field(ge=1)
    data_digest: str = Field()
    min_df: int = Field(ge=1)
    iterations: int = Field(ge=1)
    slope: Positive | tuple[float, ...] = Field()
    offset: float | tuple[float, ...] = Field()
    valid: Score = Field()
    stemmer: str | None = None
    code_digest: str | None = None

    @property
    def rank(self) -> tuple[float, float, str]:
        """Key to sort by: the largest budget, then log loss, which shows more than accuracy."""
        return -self.budget, self.valid.log_loss, self.candidate.name


@record
class Selection:
    """The names of the candidates that a rung keeps, the best first, and all its trials."""

    selected: tuple[CandidateText, ...] = Field(min_length=1)
    trials: tuple[Trial, ...] = Field(min_length=1)


def read_trials(directories: Iterable[Path]) -> list[Trial]:
    """Read the trials in all ``directories``, ranked as :func:`ranked` does.

    Raises:
        UserError: there are none, or they are not of the same reviews.
    """
    paths = [path for directory in directories for path in sorted(directory.glob("*.json"))]
    if not paths:
        raise UserError(f"{', '.join(map(str, directories))}: no trials in this directory")
    return ranked(replace(records.read(path, Trial), code_digest=None) for path in paths)


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials, the best of the largest budget first.

    Raises:
        UserError: they are not of the same reviews.
    """
    found = sorted(trials, key=lambda trial: trial.rank)
    if len({(trial.data_digest, trial.stemmer) for trial in found}) > 1:
        raise UserError("the trials are not of the same reviews; run them again")
    return found
