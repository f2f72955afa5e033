"""What each of these servers calls: the scikit-learn Pipeline in MODEL, or nothing at all."""

import os
from collections.abc import Callable
from pathlib import Path

from sentiment import store


def load() -> Callable[[list[str]], list[float]]:
    """Return what gives the probabilities of *positive*; without MODEL they are all the same."""
    folder = os.environ.get("MODEL")
    if folder is None:
        return lambda texts: [0.5] * len(texts)
    model = store.load(Path(folder))
    return lambda texts: model.predict_proba(texts)[:, 1].tolist()
