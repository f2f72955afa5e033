"""The linear function of a model, without the code that fits it."""

from typing import NamedTuple

import numpy as np

from sentiment.exact import Floats, ln

# Sublinear term frequency, by the count of an n-gram in a text: 1 + ln(count), and 0 for 0.
TERM_FREQUENCY: Floats = np.append(0.0, 1.0 + ln(np.arange(1, 256)))


class Linear(NamedTuple):
    """The function ``terms(counts) @ weights / length + intercept`` of a row.

    ``length`` is the Euclidean length of the row with each column multiplied by its scale;
    ``squares`` has the squared scales. The score of a row of length 0 is the intercept.

    Two classes have one function, whose score is high for the second: ``weights`` has the shape
    (columns,), ``intercept`` () and the scores (rows,). More classes have a function each, by
    which a class is told from all others: shapes (columns, classes), (classes,), (rows, classes).
    """

    weights: Floats
    squares: Floats
    intercept: Floats | float

    def toward(self, values: Floats, label: int) -> Floats:
        """Return those of some weights, scores or intercepts that are for the class ``label``.

        The first of two classes has the negative values of the second.
        """
        if self.weights.ndim > 1:
            return values[..., label]
        return values if label == 1 else -values
