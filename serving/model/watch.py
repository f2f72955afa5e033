"""Watch the source of the model, and load a new version while the current one answers."""

import logging
import threading

from prometheus_client import Counter

from serving.model.loading import ServedModel
from serving.model.registry import SourceError

log = logging.getLogger(__name__)

LOADS = Counter("model_load_count", "Models loaded or refused while serving", ["outcome"])
_LOADED, _REFUSED = map(LOADS.labels, ("taken in", "refused"))  # 0 before the first, not absent


class Watch:
    """A thread that checks the source every ``seconds`` for another model.

    The new model is loaded, checked and warmed up beside the current one, and replaces it in one
    step. If the new model is not valid, the current one stays, and the next check tries again.
    """

    def __init__(self, served: ServedModel, seconds: float) -> None:
        self._served = served
        self._seconds = seconds
        self._last_error = ""
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
                log.info("version %s is served now", served.current.version)
            self._last_error = ""
        except Exception as error:  # an unforeseen error must not end the thread either
            _REFUSED.inc()
            if not isinstance(error, SourceError):
                log.exception("version %s stays", served.current.version)
            elif str(error) != self._last_error:  # log each error once, not at every check
                log.warning("version %s stays: %s", served.current.version, error)
            self._last_error = str(error)
