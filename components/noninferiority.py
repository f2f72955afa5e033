"""Test that a model's accuracy is not lower than another's by more than a margin."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm


def p_value(gained: ArrayLike, lost: ArrayLike, rows: int, margin: float) -> NDArray[np.float64]:
    """Return the one-sided p-value of "the accuracy is lower by ``margin`` or more".

    ``gained`` and ``lost`` are the numbers of reviews that only the first, or only the second of
    two models gets right, of ``rows`` reviews; arrays are tested elementwise. It is the score test
    for paired samples (Tango 1998, "Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design"). tests/unit/test_noninferiority.py computes its true
    level, which is nowhere above the nominal one by more than a fiftieth of it.
    """
    gains, losses = np.asarray(gained, np.float64), np.asarray(lost, np.float64)
    # the likeliest share of gained reviews where that of lost ones is larger by the margin: the
    # larger root of 2 rows x² - b x - gains margin (1 - margin)
    same = rows - gains - losses
    b = gains * (1 - 3 * margin) + losses * (1 - margin) - 2 * same * margin
    root = np.sqrt(b * b + 8 * rows * gains * margin * (1 - margin))
    share: Any = np.clip((b + root) / (4 * rows), 0, (1 - margin) / 2)
    variance = rows * (2 * share + margin - margin**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (gains - losses + rows * margin) / np.sqrt(variance)
    # without a margin and without a difference there is nothing to tell from
    return np.asarray(norm.sf(np.nan_to_num(z, nan=0.0)), np.float64)
