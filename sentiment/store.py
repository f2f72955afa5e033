"""Save and load the model file, ``model.skops``: no pickle, and equal bytes for equal models.

skops names arrays by memory addresses and stamps entries with the current time. ``save`` gives
them fixed names and dates, so that the SHA-256 of the file identifies the fitted model, in a
registry and in ``dvc.lock``.
"""

import hashlib
import io
import json
import zipfile
from itertools import count
from pathlib import Path
from typing import Any

import skops.io
from sklearn.pipeline import Pipeline
from skops.io.exceptions import UntrustedTypesFoundException

MODEL_FILE = "model.skops"
# written beside it by the stages train and evaluate
FACTS_FILE = "training.json"
FINDINGS_FILE = "findings.json"
TRUSTED_TYPES = ["sentiment.vectorizer.NgramVectorizer", "sentiment.model.NgramClassifier"]
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip archive can hold


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

    Raises:
        FileNotFoundError: there is no model file in ``directory``.
        ValueError: the file is damaged, or has types that this package does not trust.
    """
    path = directory / MODEL_FILE
    try:
        model = skops.io.load(path, trusted=TRUSTED_TYPES)
    except UntrustedTypesFoundException as error:
        raise ValueError(f"{path}: {error}") from error
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{path}: not a whole model file ({error})") from error
    if not isinstance(model, Pipeline):
        raise ValueError(f"{path}: holds a {type(model).__name__}, not a Pipeline")
    return model


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
