"""Load the model to serve from a folder, or from a version in an MLflow registry."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sentiment import drift, model_file
from sentiment.explanation import Explainer
from sentiment.kernel import library
from sentiment.model_file import MODEL_FILE
from sentiment.scorer import Scorer
from serving.model import metadata, registry
from serving.model.registry import SourceError
from serving.model.window import Window

log = logging.getLogger(__name__)

_WARM_UP = ["A wonderful film, well acted.", "Dull from start to end.", ""]
_MAX_REASON = 500  # characters; some reasons quote the file
_UNKNOWN = "unknown"


class RefusedError(SourceError):
    """The model at the source is damaged, or no sentiment model, and will be at another look.

    The message names the source, the model's version and its digest. ``state`` is that of
    :func:`source_state`.
    """

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state = state


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
        self._refused: str | None = None  # the state of the source with the last refused model

    def load(self) -> None:
        """Replace the current model by the one that is at the source now.

        Raises:
            SourceError: there is no valid model at the source; the current model stays.
        """
        try:
            loaded = load(self._uri, self._version)
        except RefusedError as error:
            self._refused = error.state
            raise
        # before it answers, so that the log has each version that an answer names
        named = self._uri, loaded.version, loaded.digest
        scorer = "the compiled kernel" if library.load() else "NumPy"
        log.info("serving %s, version %s, digest %s, scored by %s", *named, scorer)
        self.current = loaded

    def is_outdated(self) -> bool:
        """Tell whether the source has a model that was neither loaded nor refused at last.

        Raises:
            SourceError: the source is unavailable.
        """
        state = source_state(self._uri)
        if state == self.current.state:
            self._refused = None  # if it comes back, that is worth another line in the log
        return state not in (self.current.state, self._refused)


def load(uri: str, version: str | None = None) -> LoadedModel:
    """Load the model at ``uri``, check it and warm it up.

    ``uri`` is a folder, as KServe's storage initializer leaves it in /mnt/models, or
    ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` in the MLflow registry. A folder does not
    contain its version: it is ``version``, or else the first digits of the model's digest.

    Raises:
        RefusedError: the model is damaged, or it is not a sentiment model.
        SourceError: there is no such model, or the source is unavailable.
    """
    if not uri.startswith("models:"):
        state = source_state(uri)
        try:
            loaded = _load_folder(uri, Path(uri), version, state, None)
        except OSError as error:
            raise SourceError(f"{error.filename or uri}: {error.strerror or error}") from error
        if source_state(uri) != state:
            raise SourceError(f"{uri}: it was replaced while it was read")
        return loaded
    registered = registry.resolve(uri)
    number = str(registered.version)
    digest = registered.tags.get("model_digest")
    with tempfile.TemporaryDirectory() as scratch:
        folder = registry.download(uri, registered, Path(scratch))
        try:
            return _load_folder(uri, folder, number, number, digest)
        except FileNotFoundError as error:  # the version lacks it, at the next look as well
            reason = f"{Path(error.filename).name}: {error.strerror}"
            raise _refused(uri, number, digest or _UNKNOWN, reason, number) from error
        except OSError as error:
            raise SourceError(f"{uri}: {error.filename}: {error.strerror or error}") from error


def source_state(uri: str) -> str:
    """Return a text that changes when another model is put at ``uri``, without loading it.

    Of a registry it is the version, and of a folder the digests of the files, which cost 15 ms for
    20 MB. Times and sizes cost less, and tell less: a copy may keep the time, and file systems in
    a network have times of whole seconds.
    """
    if uri.startswith("models:"):
        return str(registry.resolve(uri).version)
    states = []
    for name in (MODEL_FILE, *metadata.FILES):
        try:
            states.append(model_file.digest(Path(uri, name)))
        except FileNotFoundError as error:
            if name == MODEL_FILE:
                raise _unavailable(uri, error) from error
            states.append("")
        except OSError as error:
            raise _unavailable(uri, error) from error
        except ValueError as error:  # not to be hashed; load gives the reason once
            states.append(str(error))
    return " ".join(states)


def _unavailable(uri: str, error: OSError) -> SourceError:
    return SourceError(
        f"{error.filename or uri}: {error.strerror or error}; --model_uri names the model, a"
        " folder or such as models:/sentiment@champion"
    )


def _load_folder(
    uri: str, folder: Path, version: str | None, state: str, registered_digest: str | None
) -> LoadedModel:
    """Load the model in ``folder``, which was found at ``uri``.

    Raises:
        RefusedError: the model is damaged, or it is not a sentiment model.
        OSError: a file cannot be read.
    """
    try:
        return _load_checked(folder, version, state, registered_digest)
    except OSError:
        raise
    except Exception as error:  # whatever is wrong with the model is so at the next look
        reason = str(error) if isinstance(error, ValueError) else repr(error)
        digest = _digest(folder)
        reason = reason.replace(f"{folder}/", "")
        raise _refused(uri, version or digest[:12], digest, reason, state) from error


def _load_checked(
    folder: Path, version: str | None, state: str, registered_digest: str | None
) -> LoadedModel:
    beside = metadata.read(folder)
    parameters, digest = model_file.read(folder / MODEL_FILE, registered_digest or beside.digest)
    classes = len(parameters.names)
    if beside.signature not in (None, signature_of(classes)):
        raise ValueError(
            f"{metadata.PACKAGING_FILE}: signature: {beside.signature}, not that of texts to"
            " probabilities"
        )
    if beside.reference is not None:
        try:
            drift.check_reference(beside.reference, classes)
        except ValueError as error:
            raise ValueError(f"{model_file.FINDINGS_FILE}: {error}") from error
    scorer = Scorer(parameters, beside.unseen_limit)
    explainer = Explainer(parameters, beside.unseen_limit)
    scored = scorer.score(_WARM_UP)
    log_odds = [*scored.log_odds.ravel().tolist(), explainer.explain(_WARM_UP[0], 10).log_odds]
    if not np.isfinite(log_odds).all():
        raise ValueError("the model's scores are not finite numbers")
    window = Window(beside.reference, parameters.names)
    window.try_out(scored.probabilities, scored)
    return LoadedModel(
        version=version or digest[:12],
        digest=digest,
        state=state,
        created=beside.created,
        classes=parameters.names,
        scorer=scorer,
        explainer=explainer,
        window=window,
    )


def _digest(folder: Path) -> str:
    try:
        return model_file.digest(folder / MODEL_FILE)
    except (OSError, ValueError):
        return _UNKNOWN


def _refused(uri: str, version: str, digest: str, reason: str, state: str) -> RefusedError:
    shown = " ".join(reason.split())[:_MAX_REASON]
    return RefusedError(f"{uri}: version {version}, digest {digest} is refused: {shown}", state)


def signature_of(classes: int) -> dict[str, Any]:
    """Return the signature of a model from texts to the probabilities of its classes."""
    texts = {"dtype": "str", "shape": [-1]}
    probabilities = {"dtype": "float64", "shape": [-1, classes]}
    return {
        "inputs": [{"type": "tensor", "tensor-spec": texts}],
        "outputs": [{"type": "tensor", "tensor-spec": probabilities}],
    }
