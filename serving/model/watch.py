"""Follows the source of the model, and takes a new version in without a request noticing."""

import logging
import threading

from prometheus_client import Counter

from serving.model import loading
from serving.model.registry import SourceError
from serving.predictor import SentimentPredictor

log = logging.getLogger(__name__)

LOADS = Counter("model_load_count", "Models taken in while serving, or not", ["outcome"])
_TAKEN_IN, _REFUSED = map(LOADS.labels, ("taken in", "refused"))  # one never seen is 0, not absent


class Watch:
    """Looks every ``seconds`` whether the source has another model than the one that is served.

    It is loaded, checked and warmed beside the one that answers, and takes its place in one step;
    where anything is wrong with it, the old one stays, and the next look tries again.
    """

    def __init__(self, predictor: SentimentPredictor, seconds: float) -> None:
        self._predictor = predictor
        self._seconds = seconds
        self._complaint = ""
        self._stopping = threading.Event()
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self.look()

    def look(self) -> None:
        predictor = self._predictor
        try:
            if loading.state(predictor.uri) != predictor.served.state:
                predictor.load()
                _TAKEN_IN.inc()
                log.info("version %s is served now", predictor.served.version)
            self._complaint = ""
        except Exception as error:  # an unheard-of damage, too, must not end the watch
            _REFUSED.inc()
            if not isinstance(error, SourceError):
                log.exception("version %s stays", predictor.served.version)
            elif str(error) != self._complaint:  # once, not at every look
                log.warning("version %s stays: %s", predictor.served.version, error)
            self._complaint = str(error)
