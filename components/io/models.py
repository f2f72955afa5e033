"""A model directory as train writes it: the model file and what is known of it."""

from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

import sentiment.store
from components.errors import UserError
from components.io.files import read_json
from sentiment.store import FACTS_FILE

TRIALS_FILE = "trials.json"  # of the search, the one that the model was made of first


def load_model(directory: Path) -> Pipeline:
    try:
        return sentiment.store.load(directory)
    except OSError as error:
        raise UserError(f"{error.filename or directory}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(str(error)) from error


def load_facts(directory: Path) -> dict[str, Any]:
    """Return the facts of the training, once the model file is seen to be the one they are of."""
    facts: dict[str, Any] = read_json(directory / FACTS_FILE)
    try:
        found = sentiment.store.digest(directory)
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from error
    if found != facts["model_digest"]:
        raise UserError(f"{directory}: the model file is not the one that {FACTS_FILE} describes")
    return facts
