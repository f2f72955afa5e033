"""Load the model to serve from a folder, or from a version in an MLflow registry."""

import json
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import sentiment.model
import sentiment.store
from sentiment.explanation import Explainer
from sentiment.model import class_names
from sentiment.scorer import Scorer
from sentiment.store import FACTS_FILE, FINDINGS_FILE, MODEL_FILE
from sentiment.unseen import DEFAULT_LIMIT
from serving.model import registry
from serving.model.registry import SourceError
from serving.model.window import Window

_WARM_UP = ["A wonderful film, well acted.", "Dull from start to end.", ""]


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to answer.

    ``state`` is that of :func:`source_state`, by which a newer model is noticed. ``created`` is
    the time of its registration, in seconds since 1970; None if it never was registered.
    """

    version: str
    digest: str
    state: str
    created: float | None
    classes: tuple[str, ...]
    scorer: Scorer
    explainer: Explainer
    window: Window


class ServedModel:
    """The model that answers requests, replaced as a whole when another one is loaded.

    A request reads ``current`` once, so that a single version answers it.
    """

    current: LoadedModel

    def __init__(self, uri: str, version: str | None = None) -> None:
        """Name the source; the arguments are those of :func:`load`."""
        self._uri = uri
        self._version = version

    def load(self) -> None:
        """Replace the current model by the one that is at the source now.

        Raises:
            SourceError: there is no valid model at the source; the current model stays.
        """
        self.current = load(self._uri, self._version)

    def is_outdated(self) -> bool:
        """Tell whether the source has another model than the current one.

        Raises:
            SourceError: the source is unavailable.
        """
        return source_state(self._uri) != self.current.state


@dataclass(frozen=True)
class _Metadata:
    """The contents of the files beside a model; None where a file or an entry is absent."""

    digest: str | None  # in FACTS_FILE
    reference: dict[str, Any] | None  # in FINDINGS_FILE, see sentiment.drift.reference
    unseen_limit: float  # in FINDINGS_FILE, see sentiment.unseen.limit
    signature: dict[str, Any] | None  # in MLmodel: inputs and outputs
    created: float | None  # in MLmodel: seconds since 1970


def load(uri: str, version: str | None = None) -> LoadedModel:
    """Load the model at ``uri``, check it and warm it up.

    ``uri`` is a folder, as KServe's storage initializer leaves it in /mnt/models, or
    ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` in the MLflow registry. A folder does not
    contain its version: it is ``version``, or else the first digits of the model's digest.

    Raises:
        SourceError: there is no such model, it is damaged, or it is not a sentiment model.
    """
    if not uri.startswith("models:"):
        return _load_folder(Path(uri), version, source_state(uri), None)
    registered = registry.resolve(uri)
    with tempfile.TemporaryDirectory() as scratch:
        folder = registry.download(uri, registered, Path(scratch))
        number = str(registered.version)
        return _load_folder(folder, number, number, registered.tags.get("model_digest"))


def source_state(uri: str) -> str:
    """Return a text that changes when another model is put at ``uri``, without loading it."""
    if uri.startswith("models:"):
        return str(registry.resolve(uri).version)
    try:
        status = (Path(uri) / MODEL_FILE).stat()
    except OSError as error:
        raise SourceError(
            f"{error.filename or uri}: {error.strerror or error}; --model_uri names the model, a"
            " folder or such as models:/sentiment@champion"
        ) from error
    return f"{status.st_ino} {status.st_mtime_ns} {status.st_size}"


def _load_folder(
    folder: Path, version: str | None, state: str, registered_digest: str | None
) -> LoadedModel:
    try:
        digest = sentiment.store.digest(folder)
        metadata = _read_metadata(folder)
        if digest != (registered_digest or metadata.digest or digest):
            raise SourceError(f"{folder}: the model file is not the one that was registered")
        model = sentiment.store.load(folder)
        classes = class_names(model)
        if metadata.signature not in (None, signature_of(len(classes))):
            raise SourceError(
                f"{folder}: its signature is {metadata.signature}, not texts to probabilities"
            )
        parameters = sentiment.model.parameters(model)
        scorer = Scorer(parameters, metadata.unseen_limit)
    except OSError as error:
        raise SourceError(f"{error.filename or folder}: {error.strerror or error}") from error
    except (ValueError, TypeError, LookupError, AttributeError, yaml.YAMLError) as error:
        raise SourceError(f"{folder}: {error}") from error
    if not np.isfinite(scorer.score(_WARM_UP).log_odds).all():
        raise SourceError(f"{folder}: the model's scores are not finite numbers")
    return LoadedModel(
        version=version or digest[:12],
        digest=digest,
        state=state,
        created=metadata.created,
        classes=classes,
        scorer=scorer,
        explainer=Explainer(parameters, metadata.unseen_limit),
        window=Window(metadata.reference, classes),
    )


def signature_of(classes: int) -> dict[str, Any]:
    """Return the signature of a model from texts to the probabilities of its classes."""
    texts = {"dtype": "str", "shape": [-1]}
    probabilities = {"dtype": "float64", "shape": [-1, classes]}
    return {
        "inputs": [{"type": "tensor", "tensor-spec": texts}],
        "outputs": [{"type": "tensor", "tensor-spec": probabilities}],
    }


def _read_metadata(folder: Path) -> _Metadata:
    facts, findings = (
        dict(json.loads(path.read_text())) if path.exists() else {}
        for path in (folder / FACTS_FILE, folder / FINDINGS_FILE)
    )
    packaging = folder / "MLmodel"
    mlmodel = dict(yaml.safe_load(packaging.read_text())) if packaging.exists() else {}
    return _Metadata(
        digest=facts.get("model_digest"),
        reference=findings.get("reference"),
        unseen_limit=float(findings.get("unseen_limit", DEFAULT_LIMIT)),
        signature=_signature(mlmodel) if mlmodel else None,
        created=_created(mlmodel),
    )


def _signature(mlmodel: dict[str, Any]) -> dict[str, Any]:
    return {key: json.loads(mlmodel["signature"][key]) for key in ("inputs", "outputs")}


def _created(mlmodel: dict[str, Any]) -> float | None:
    if "utc_time_created" not in mlmodel:
        return None
    return datetime.fromisoformat(mlmodel["utc_time_created"]).replace(tzinfo=UTC).timestamp()
