"""Watch the source of the model, and load a new version while the current one answers."""

import logging
import threading

from prometheus_client import Counter

from serving.model.loading import RefusedError, ServedModel
from serving.model.registry import SourceError

log = logging.getLogger(__name__)

LOADS = Counter("model_load_count", "Models loaded or refused while serving", ["outcome"])
# 0 before the first, not absent
_LOADED, _REFUSED, _UNAVAILABLE = map(LOADS.labels, ("taken in", "refused", "unavailable"))
_MAX_REASONS = 50  # remembered; a reason may contain what changes at each look


class Watch:
    """A thread that checks the source every ``seconds`` for another model.

    The new model is loaded, checked and warmed up beside the current one, and replaces it in one
    step. If the new model is not valid, the current one stays, and the refused one is not loaded
    again until the source has another. An unavailable source is looked at again each time.
    """

    def __init__(self, served: ServedModel, seconds: float) -> None:
        self._served = served
        self._seconds = seconds
        self._reasons: set[str] = set()  # why the source was unavailable, since it last was not
        self._stopping = threading.Event()
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self._check()

    def _check(self) -> None:
        served = self._served
        try:
            if served.is_outdated():
                served.load()
                _LOADED.inc()
            self._reasons.clear()
        except RefusedError as error:  # once for each model
            _REFUSED.inc()
            self._reasons.clear()
            log.warning("%s; version %s stays", error, served.current.version)
        except Exception as error:  # an unforeseen error must not end the thread either
            _UNAVAILABLE.inc()
            self._log_once(error)

    def _log_once(self, error: Exception) -> None:
        reason = repr(error)
        if reason in self._reasons:
            return
        if len(self._reasons) >= _MAX_REASONS:
            self._reasons.clear()
        self._reasons.add(reason)
        version = self._served.current.version
        if isinstance(error, SourceError):
            log.warning("version %s stays: %s", version, error)
        else:
            log.error("version %s stays", version, exc_info=error)
