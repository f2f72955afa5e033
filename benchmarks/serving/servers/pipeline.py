"""Load the scikit-learn Pipeline in MODEL for these servers; without MODEL, a constant."""

import os
from collections.abc import Callable
from pathlib import Path

from sentiment import store


def load() -> Callable[[list[str]], list[float]]:
    """Return a function of texts to probabilities of *positive*; without MODEL all are 0.5."""
    folder = os.environ.get("MODEL")
    if folder is None:
        return lambda texts: [0.5] * len(texts)
    model = store.load(Path(folder))
    return lambda texts: model.predict_proba(texts)[:, 1].tolist()
