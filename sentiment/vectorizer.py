"""Count the n-grams of texts, as a scikit-learn transformer."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sentiment import merging, negation, ngram_keys, ngrams
from sentiment.negation import Opposites
from sentiment.ngram_keys import Ints
from sentiment.ngrams import Counts
from sentiment.parameters import read_version
from sentiment.stems import reduced
from sentiment.tokens import CURRENT, Tokenizer

_BLOCK = 2_000  # texts counted at a time, which bounds working memory


class NgramVectorizer(TransformerMixin, BaseEstimator):
    """Counts the n-grams that occur in at least ``min_df`` texts.

    ``tokens`` is the version of the tokens, a key of :data:`sentiment.tokens.TOKENIZERS`, and
    ``stemmer``, one of :data:`sentiment.stems.NAMES`, says how each is reduced.

    Columns are sorted by the texts of the n-grams. Fitted attributes are plain arrays, so that a
    model file needs no pickle: ``tokens_`` (UTF-8 bytes, one token a line) and ``keys_`` (see
    :mod:`sentiment.ngrams`).
    """

    def __init__(
        self,
        max_n: int = 3,
        min_df: int = 2,
        max_features: int = 4_000_000,
        tokens: int = CURRENT,
        stemmer: str = "",
    ) -> None:
        self.max_n = max_n
        self.min_df = min_df
        self.max_features = max_features
        self.tokens = tokens
        self.stemmer = stemmer

    def fit(self, texts: Iterable[str], y: Any = None) -> Self:
        self._fit(texts)
        return self

    def fit_transform(self, texts: Iterable[str], y: Any = None) -> csr_array:
        """Fit and return the counts, in one pass; ``fit(texts).transform(texts)`` takes two."""
        return self._matrix(_released(self._fit(texts)))

    def transform(self, texts: Iterable[str]) -> csr_array:
        """Return the counts of n-grams, at most 255 each, shape (texts, n-grams)."""
        check_is_fitted(self)
        return self._matrix(self._count(texts))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the n-grams as strings, tokens joined by a space, in column order."""
        check_is_fitted(self)
        names = np.array(["", *(f"{token} " for token in self.index())], object)
        first, second, third = (names[part] for part in ngram_keys.parts(self.keys_))
        return np.array([name[:-1] for name in first + second + third], object)

    def tokenizer(self) -> Tokenizer:
        return reduced(self.tokens, self.stemmer)

    def index(self) -> dict[str, int]:
        """Return the number of each token; see :func:`sentiment.ngram_keys.numbers`."""
        if not hasattr(self, "_index"):
            self._index = ngram_keys.numbers(ngram_keys.unpack(self.tokens_))
        return self._index

    def opposites(self) -> Opposites:
        """Return the columns of marked words; see :func:`sentiment.negation.opposites`."""
        check_is_fitted(self)
        return negation.opposites(self.index(), self.keys_)

    def adopt(self, tokens: NDArray[np.uint8], keys: Ints) -> Self:
        """Become fitted, with tokens and keys from :func:`sentiment.merging.merge`."""
        self.tokens_, self.keys_ = tokens, keys
        return self

    def _fit(self, texts: Iterable[str]) -> list[Counts]:
        shards = list(self._count(texts))
        loaders = [partial(_same, shard) for shard in shards]
        tokens, keys = merging.merge(loaders, self.min_df, self.max_features)
        self.adopt(ngram_keys.pack(tokens), keys)
        return shards

    def _count(self, texts: Iterable[str]) -> Iterator[Counts]:
        rest, prepare = iter(texts), self.tokenizer().prepare
        while block := list(islice(rest, _BLOCK)):
            yield ngrams.count(block, self.max_n, prepare)

    def _matrix(self, shards: Iterable[Counts]) -> csr_array:
        index = self.index()
        blocks = [ngrams.columns(shard, index, self.keys_) for shard in shards]
        if not blocks:
            return csr_array((0, len(self.keys_)), dtype=np.uint8)
        return vstack(blocks, format="csr")

    def __getstate__(self) -> dict[str, Any]:
        """Return what a file holds, which earlier releases without these tokens cannot use.

        They would ignore the version or the stemmer, and give other probabilities than those that
        were measured. Releases without stemmers refuse a version such as ``2+finnish``.
        """
        state = {k: v for k, v in super().__getstate__().items() if k not in ("_index", "stemmer")}
        if (self.tokens > 1 or self.stemmer) and "tokens_" in state:
            state["vocabulary_"] = state.pop("tokens_")
        if self.stemmer:
            state["tokens"] = f"{self.tokens}+{self.stemmer}"
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a saved vectorizer; without a version of its tokens, it has the first.

        Raises:
            ValueError: the tokens are of a later release, or their stemmer needs NLTK, which is
                not installed.
        """
        state = {"tokens": 1, "stemmer": ""} | state
        version, stemmer = read_version(state["tokens"])
        state |= {"tokens": version, "stemmer": stemmer}
        if "vocabulary_" in state:
            state["tokens_"] = state.pop("vocabulary_")
        super().__setstate__(state)
        self.tokenizer()  # so that a server without NLTK says so when it loads the model


def _released(shards: list[Counts]) -> Iterator[Counts]:
    """Yield the shards, and keep none in memory after its turn."""
    while shards:
        yield shards.pop(0)


def _same(shard: Counts) -> Counts:
    return shard
