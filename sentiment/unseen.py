"""Recognise a text in a language that the model has not seen, by the words it does not know.

The share of unknown tokens alone does not tell: of a French text a model of many English reviews
knows two thirds, the marks, names and words of titles, and of an English text a model of few
reviews knows no more. So the limit comes from the test reviews of the model. A short text has a
high share by chance; therefore texts are compared by the lower end of Wilson's interval, the
least share of unknown tokens that its writer may have (Wilson 1927, "Probable Inference").
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

USUAL = 0.999  # share of the test reviews that are below the limit
LEAST_LIMIT = 0.05  # else one unknown name would make a text unseen where no test review has any
DEFAULT_LIMIT = 0.15  # of a model without one: that of a model of 300 long reviews
_Z = 3.0  # standard errors from the share to the lower end


def limit(tokens: NDArray[np.float64], unknown: NDArray[np.float64]) -> float:
    """Return the limit of a model from its test reviews.

    ``tokens`` is the number of tokens of each review, ``unknown`` the share of unknown ones,
    both of shape (reviews,), as in :func:`sentiment.drift.statistics`.
    """
    filled = tokens > 0
    if not filled.any():
        return DEFAULT_LIMIT
    least = _lower_end(tokens[filled], unknown[filled])
    return max(LEAST_LIMIT, round(float(np.quantile(least, USUAL)), 6))


def is_above(limit: float, tokens: int, unknown: int) -> bool:
    """Tell whether the lower end for ``unknown`` of ``tokens`` is above the limit."""
    excess = unknown - limit * tokens
    return excess > 0 and excess**2 > _Z**2 * tokens * limit * (1 - limit)


def is_unseen(limit: float, tokens: int, unknown: Sequence[str]) -> bool:
    """Tell whether a text is in an unseen language; ``unknown`` are its unknown tokens.

    Numbers and emoji are of no language: only unknown words count.
    """
    return is_above(limit, tokens, len(unknown)) and is_above(limit, tokens, count_words(unknown))


def count_words(tokens: Sequence[str]) -> int:
    """Return the number of tokens that begin with a letter."""
    return sum(token[0].isalpha() for token in tokens)


def _lower_end(tokens: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    squared = _Z**2 / tokens
    spread = np.sqrt(squared * share * (1 - share) + squared**2 / 4)
    lower: NDArray[np.float64] = (share + squared / 2 - spread) / (1 + squared)
    return lower
