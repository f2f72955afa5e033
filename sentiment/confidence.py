"""Expect the accuracy on texts without labels from how sure the model is of its answers.

The mean probability of the answers is the accuracy, if the model is calibrated on such texts: the
*average confidence* of Guillory et al. (2021, "Predicting with Confidence on Unseen Distributions")
and Garg et al. (2022, "Leveraging Unlabeled Data to Predict Out-of-Distribution Performance"). No
estimate of this kind holds for every shift, so it is believed below the limits here only, which
``benchmarks.expected_accuracy`` has measured. No limit sees that equal texts have got other labels.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# population stability index; the answers of a weak model hardly show that other classes come
MAX_PSI = {"score": 0.2, "class": 0.05, "length": 0.2, "unknown": 0.2}


def expected_accuracy(scores: NDArray[np.float64], classes: int) -> float:
    """Return the mean probability of the answers to texts with these scores, shape (texts,).

    The scores are those of :mod:`sentiment.drift`.
    """
    answers = np.maximum(scores, 1 - scores) if classes == 2 else scores
    return float(answers.mean())


def doubts(stability: Mapping[str, float]) -> tuple[str, ...]:
    """Return why the expected accuracy is not to be believed; nothing if it is.

    ``stability`` is that of :func:`sentiment.drift.stability`.
    """
    return tuple(
        f"{name} {stability[name]:.3f}, above {limit:g}"
        for name, limit in MAX_PSI.items()
        if stability.get(name, 0) > limit
    )
