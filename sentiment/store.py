"""Save and load the model file, ``model.skops``: no pickle, and equal bytes for equal models.

skops names arrays by memory addresses and stamps entries with the current time. ``save`` gives
them fixed names and dates, so that the SHA-256 of the file identifies the fitted model, in a
registry and in ``dvc.lock``.
"""

import hashlib
import io
import json
import logging
import warnings
import zipfile
from itertools import count
from pathlib import Path
from typing import Any

import sklearn
import skops.io
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline
from skops.io.exceptions import UntrustedTypesFoundException

from sentiment.model_file import MODEL_FILE

TRUSTED_TYPES = ["sentiment.vectorizer.NgramVectorizer", "sentiment.model.NgramClassifier"]
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip archive can hold

log = logging.getLogger("sentiment")
# load says it in one line
warnings.filterwarnings("ignore", category=InconsistentVersionWarning)


def save(model: Pipeline, directory: Path) -> str:
    """Write ``model`` into ``directory`` and return its digest."""
    with (
        zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as source,
        zipfile.ZipFile(directory / MODEL_FILE, "w") as target,
    ):
        schema = json.loads(source.read("schema.json"))
        for old, new in _renumber(schema).items():
            target.writestr(zipfile.ZipInfo(new, _EPOCH), source.read(old))
        target.writestr(zipfile.ZipInfo("schema.json", _EPOCH), json.dumps(schema))
    return digest(directory)


def load(directory: Path) -> Pipeline:
    """Load the model that :func:`save` wrote.

    Another scikit-learn than the one that made it is only a warning: of scikit-learn the file has
    the Pipeline alone, which passes the texts to our own two steps, so the scores are the same.

    Raises:
        FileNotFoundError: there is no model file in ``directory``.
        ValueError: the file is damaged, has types that this package does not trust, is of a
            later release, or cannot be read by this scikit-learn.
    """
    path = directory / MODEL_FILE
    made, current, unlike = made_with(directory), sklearn.__version__, ""
    if made is not None and made.split(".")[:2] != current.split(".")[:2]:
        log.warning("the model was made with scikit-learn %s, and this is %s", made, current)
        unlike = f"; it was made with scikit-learn {made}, and this is {current}"
    try:
        model = skops.io.load(path, trusted=TRUSTED_TYPES)
    except UntrustedTypesFoundException as error:
        raise ValueError(f"{path}: {error}{unlike}") from error
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{path}: not a whole model file ({error}){unlike}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except (AttributeError, TypeError, ImportError) as error:
        if not unlike:
            raise
        raise ValueError(f"{path}: {error}{unlike}") from error
    if not isinstance(model, Pipeline):
        raise ValueError(f"{path}: holds a {type(model).__name__}, not a Pipeline")
    return model


def made_with(directory: Path) -> str | None:
    """Return the version of scikit-learn that made the model, None if the file does not tell."""
    try:
        with zipfile.ZipFile(directory / MODEL_FILE) as file:
            state = json.loads(file.read("schema.json"))["content"]["content"]
        return str(json.loads(state["_sklearn_version"]["content"]))
    except (zipfile.BadZipFile, LookupError, TypeError, ValueError):
        return None


def digest(directory: Path) -> str:
    """Return the SHA-256 of the model file as hexadecimal digits."""
    with (directory / MODEL_FILE).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _renumber(schema: dict[str, Any]) -> dict[str, str]:
    """Number the nodes of ``schema`` in the order of the tree; return old and new file names."""
    files: dict[str, str] = {}
    number = count()

    def visit(node: Any) -> None:
        if isinstance(node, list):
            for child in node:
                visit(child)
        elif isinstance(node, dict):
            if "__id__" in node:
                node["__id__"] = next(number)
            if node.get("__loader__") == "NdArrayNode" and "file" in node:
                node["file"] = files.setdefault(node["file"], f"{len(files)}.npy")
            for child in node.values():
                visit(child)

    visit(schema)
    return files
