"""What a fitted model needs to score and explain texts, without the code that trains it.

The predictor imports neither scikit-learn nor SciPy, which take a third of its memory.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentiment.linear import Linear
from sentiment.ngram_keys import Ints
from sentiment.stems import NAMES, reduced
from sentiment.tokens import TOKENIZERS, Tokenizer

LABELS = ("negative", "positive")  # the names of the classes, if a model does not name its own


class Parameters(NamedTuple):
    """The tokens, n-grams, classes and linear function of a model.

    ``version`` is a key of :data:`sentiment.tokens.TOKENIZERS`, and ``stemmer`` one of
    :data:`sentiment.stems.NAMES`. ``tokens`` are packed (see :mod:`sentiment.ngram_keys`), ``keys``
    are sorted, and the columns of ``linear`` are those of ``keys``. ``names`` has the classes in
    the order of their probabilities.
    """

    version: int
    stemmer: str
    tokens: NDArray[np.uint8]
    keys: Ints
    names: tuple[str, ...]
    linear: Linear

    def tokenizer(self) -> Tokenizer:
        return reduced(self.version, self.stemmer)


def read_version(tokens: object) -> tuple[int, str]:
    """Return version and stemmer of the ``tokens`` in a model file, such as 2 or ``2+finnish``.

    Raises:
        ValueError: this release has no such tokens.
    """
    version, _, stemmer = str(tokens).partition("+")
    if not version.isdecimal() or int(version) not in TOKENIZERS or stemmer not in NAMES:
        raise ValueError(f"a newer release made it, with tokens of version {tokens!s:.50}")
    return int(version), stemmer
