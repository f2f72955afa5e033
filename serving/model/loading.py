"""Where the served model comes from: a folder, or a version in an MLflow registry."""

import json
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import sentiment.store
from sentiment.explanation import Explainer
from sentiment.scorer import Scorer
from sentiment.store import FACTS_FILE, FINDINGS_FILE, MODEL_FILE
from serving.model import registry
from serving.model.registry import SourceError
from serving.model.window import Observed

_WARM_UP = ["A wonderful film, well acted.", "Dull from start to end.", ""]
_SIGNATURE = {  # texts in, the probabilities of negative and positive out
    "inputs": [{"type": "tensor", "tensor-spec": {"dtype": "str", "shape": [-1]}}],
    "outputs": [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}],
}


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to answer, and ``state``, by which :func:`state` tells it from another.

    ``created`` is the time, in seconds since 1970, at which it was registered; None of a folder
    that never was.
    """

    version: str
    digest: str
    state: str
    created: float | None
    scorer: Scorer
    explainer: Explainer
    observed: Observed


def load(uri: str, version: str | None = None) -> LoadedModel:
    """Load the model at ``uri``, check it and warm it.

    A folder is what KServe's storage initializer leaves in /mnt/models; it does not know its
    version, so ``version`` names it, or else the first digits of its digest do.
    ``models:/NAME@ALIAS`` and ``models:/NAME/VERSION`` ask the MLflow registry.

    Raises:
        SourceError: there is no such model, it is damaged, or it is not of our kind.
    """
    if not uri.startswith("models:"):
        return _from_folder(Path(uri), version, state(uri), None)
    registered = registry.resolve(uri)
    with tempfile.TemporaryDirectory() as scratch:
        folder = registry.download(uri, registered, Path(scratch))
        number = str(registered.version)
        return _from_folder(folder, number, number, registered.tags.get("model_digest"))


def state(uri: str) -> str:
    """Return what changes when another model is at ``uri``, without loading it."""
    if uri.startswith("models:"):
        return str(registry.resolve(uri).version)
    try:
        found = (Path(uri) / MODEL_FILE).stat()
    except OSError as error:
        raise SourceError(f"{error.filename or uri}: {error.strerror or error}") from error
    return f"{found.st_ino} {found.st_mtime_ns} {found.st_size}"


def _from_folder(
    folder: Path, version: str | None, state: str, expected: str | None
) -> LoadedModel:
    try:
        digest = sentiment.store.digest(folder)
        facts, findings = (_read(folder / name) for name in (FACTS_FILE, FINDINGS_FILE))
        packed = _packed(folder / "MLmodel")
        signature, created = _signature(packed), _created(packed)
        if digest != (expected or facts.get("model_digest", digest)):
            raise SourceError(f"{folder}: the model file is not the one that was registered")
        if signature not in (None, _SIGNATURE):
            raise SourceError(f"{folder}: its signature is {signature}, not texts to probabilities")
        model = sentiment.store.load(folder)
        scorer = Scorer(model)
    except OSError as error:
        raise SourceError(f"{error.filename or folder}: {error.strerror or error}") from error
    except (ValueError, TypeError, LookupError, AttributeError, yaml.YAMLError) as error:
        raise SourceError(f"{folder}: {error}") from error
    if not np.isfinite(scorer.score(_WARM_UP).log_odds).all():
        raise SourceError(f"{folder}: the model does not answer with numbers")
    explainer, observed = Explainer(model), Observed(findings.get("reference"))
    version = version or digest[:12]
    return LoadedModel(version, digest, state, created, scorer, explainer, observed)


def _read(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing where a model came without it."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _packed(path: Path) -> dict[str, Any]:
    """Return what MLflow says of the model; nothing if it was not MLflow that packed it."""
    return dict(yaml.safe_load(path.read_text())) if path.exists() else {}


def _signature(packed: dict[str, Any]) -> dict[str, Any] | None:
    """Return inputs and outputs."""
    if not packed:
        return None
    return {key: json.loads(packed["signature"][key]) for key in _SIGNATURE}


def _created(packed: dict[str, Any]) -> float | None:
    if "utc_time_created" not in packed:
        return None
    return datetime.fromisoformat(packed["utc_time_created"]).replace(tzinfo=UTC).timestamp()
