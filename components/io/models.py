"""A model directory as train writes it: the model file and the records beside it."""

from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import UserError
from components.io import records
from components.io.candidates import Score, Trial
from components.io.files import read_json
from components.io.records import record
from components.io.reviews import CLASSES
from sentiment import model_file
from sentiment.model_file import FACTS_FILE, MODEL_FILE

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TRIALS_FILE = "trials.json"  # trials of the search; the model was made from the first


@record
class TrainingFacts:
    """Facts of a training: reviews, n-grams, digests, parameters, the best trial, the classes."""

    rows: int
    features: int
    data_digest: str
    parameters: dict[str, int | float | str]
    valid: Score
    model_digest: str
    classes: tuple[str, ...] = CLASSES


def load_model(directory: Path) -> "Pipeline":
    """Load the model in ``directory``, as it was fitted.

    Raises:
        UserError: the model file is missing or damaged.
    """
    import sentiment.store  # and skops, which imports each estimator of scikit-learn

    try:
        return sentiment.store.load(directory)
    except OSError as error:
        raise UserError(f"{error.filename or directory}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(str(error)) from error


def read_model(directory: Path) -> "Pipeline":
    """Return a Pipeline with the parameters that the predictor reads of the model in ``directory``.

    It gives the same probabilities as the one that was fitted.

    Raises:
        UserError: the model file is missing or damaged.
    """
    import sentiment.model  # scikit-learn: 2 s of CPU, which deploy does not need

    try:
        return sentiment.model.of(model_file.read(directory / MODEL_FILE)[0])
    except OSError as error:
        raise UserError(f"{error.filename or directory}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(str(error)) from error


def load_facts(directory: Path) -> TrainingFacts:
    """Read the facts of the training and check that they are of the model file beside them."""
    verified_digest(directory)
    return records.read(directory / FACTS_FILE, TrainingFacts)


def verified_digest(directory: Path) -> str:
    """Return the digest of the model file, which the facts beside it must name.

    It reads no other fact, so that versions of any earlier release pass.
    """
    try:
        digest = model_file.digest(directory / MODEL_FILE)
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(str(error)) from error
    facts = read_json(directory / FACTS_FILE)
    if not isinstance(facts, dict) or digest != facts.get("model_digest"):
        raise UserError(f"{directory}: the model file is not the one that {FACTS_FILE} describes")
    return digest


def load_trials(directory: Path) -> list[Trial]:
    """Read the trials of the search, the best first."""
    trials = records.read(directory / TRIALS_FILE, list[Trial])
    if not trials:
        raise UserError(f"{directory / TRIALS_FILE}: holds no trials; run train again")
    return trials
