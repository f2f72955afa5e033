"""Word n-grams as integer keys: the text side of the model.

A token is a small integer, a bigram is ``first * V + second`` and a trigram is
``bigram * V + third``, where ``V`` is the number of tokens and ``bigram`` the rank of the bigram
among those kept. No string is built for an n-gram, and a lookup is a binary search in a sorted
array. Dropping rare bigrams before counting trigrams loses nothing: a trigram is never in more
documents than the bigram it starts with (the Apriori property, Agrawal and Srikant 1994).
"""

from collections.abc import Iterable
from itertools import repeat
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sentiment.tokens import tokenize

Ints = NDArray[np.int64]
_UNKNOWN = -1


class NgramVectorizer(TransformerMixin, BaseEstimator):
    """Binary presence of the word n-grams that occur in at least ``min_df`` documents.

    Columns are the kept tokens in code-point order, then the kept bigrams in key order, then the
    trigrams. Fitted attributes are plain arrays, so that a model file needs no pickle:
    ``tokens_`` (the tokens, UTF-8, one a line, as bytes) and ``keys_`` (for n = 2, 3, … the
    sorted keys of the n-grams kept).
    """

    def __init__(self, max_n: int = 3, min_df: int = 2) -> None:
        self.max_n = max_n
        self.min_df = min_df

    def fit(self, texts: Iterable[str], y: Any = None) -> Self:
        self._fit(texts)
        return self

    def fit_transform(self, texts: Iterable[str], y: Any = None) -> csr_array:
        """One pass over the texts where ``fit(texts).transform(texts)`` needs two."""
        return self._matrix(*self._fit(texts))

    def transform(self, texts: Iterable[str]) -> csr_array:
        """Return a matrix of shape (texts, n-grams) with a 1.0 for each n-gram present."""
        check_is_fitted(self)
        vocabulary = self.vocabulary()
        ids: list[int] = []
        lengths: list[int] = []
        for text in texts:
            tokens = tokenize(text)
            ids.extend(map(vocabulary.get, tokens, repeat(_UNKNOWN)))
            lengths.append(len(tokens))
        unigrams = np.array(ids, np.int64)
        documents = np.repeat(np.arange(len(lengths)), lengths)
        columns = [unigrams]
        for keys in self.keys_:
            columns.append(_rank(_join(columns, documents, len(vocabulary)), keys))
        return self._matrix(columns, documents, len(lengths))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the n-grams as strings, tokens joined by a space, in column order."""
        check_is_fitted(self)
        tokens = np.array(list(self.vocabulary()), object)
        names = [tokens]
        for keys in self.keys_:
            names.append(names[-1][keys // len(tokens)] + " " + tokens[keys % len(tokens)])
        return np.concatenate(names)

    def _fit(self, texts: Iterable[str]) -> tuple[list[Ints], Ints, int]:
        seen: dict[str, int] = {}
        ids: list[int] = []
        lengths: list[int] = []
        for text in texts:
            tokens = tokenize(text)
            ids.extend([seen.setdefault(token, len(seen)) for token in tokens])
            lengths.append(len(tokens))
        documents = np.repeat(np.arange(len(lengths)), lengths)
        order = np.array(sorted(seen, key=seen.__getitem__), object)
        first_seen = np.array(ids, np.int64)
        kept = _frequent(first_seen, documents, self.min_df)
        if not len(kept):
            raise ValueError(f"no token occurs in {self.min_df} texts or more: nothing to learn")
        vocabulary = sorted(order[kept])
        rank = np.full(len(seen), _UNKNOWN, np.int64)
        rank[[seen[token] for token in vocabulary]] = np.arange(len(vocabulary))
        columns = [rank[first_seen]]
        self.keys_: list[Ints] = []
        for _ in range(1, self.max_n):
            joined = _join(columns, documents, len(vocabulary))
            self.keys_.append(_frequent(joined, documents, self.min_df))
            columns.append(_rank(joined, self.keys_[-1]))
        self.tokens_ = np.frombuffer("\n".join(vocabulary).encode(), np.uint8)
        self._index = {token: i for i, token in enumerate(vocabulary)}
        return columns, documents, len(lengths)

    def vocabulary(self) -> dict[str, int]:
        """Return the kept tokens with their columns."""
        if not hasattr(self, "_index"):
            tokens = self.tokens_.tobytes().decode().split("\n")
            self._index = {token: i for i, token in enumerate(tokens)}
        return self._index

    def _matrix(self, columns: list[Ints], documents: Ints, rows: int) -> csr_array:
        widths = [len(self.vocabulary()), *map(len, self.keys_)]
        offsets = np.cumsum([0, *widths])
        width = int(offsets[-1])
        cells = np.concatenate(
            [
                documents[column >= 0] * width + column[column >= 0] + offset
                for column, offset in zip(columns, offsets, strict=False)
            ]
        )
        cells = np.unique(cells)
        starts = np.searchsorted(cells, np.arange(rows + 1) * width).astype(np.int32)
        indices = (cells % width).astype(np.int32)  # liblinear takes no 64-bit indices
        return csr_array((np.ones(len(cells)), indices, starts), shape=(rows, width))

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k != "_index"}


def _join(columns: list[Ints], documents: Ints, base: int) -> Ints:
    """Extend the n-gram that starts at each position by one token; -1 where there is none."""
    unigrams, prefix = columns[0], columns[-1]
    n = len(columns)
    joined = np.full(len(unigrams), _UNKNOWN, np.int64)
    whole = (prefix[:-n] >= 0) & (unigrams[n:] >= 0) & (documents[:-n] == documents[n:])
    joined[:-n][whole] = prefix[:-n][whole] * base + unigrams[n:][whole]
    return joined


def _rank(keys: Ints, kept: Ints) -> Ints:
    """Return the position of each key in ``kept`` (sorted), -1 where it is not there."""
    if not len(kept):
        return np.full(len(keys), _UNKNOWN, np.int64)
    rank = np.searchsorted(kept, keys)
    rank[rank == len(kept)] = 0
    return np.where(kept[rank] == keys, rank, _UNKNOWN)


def _frequent(keys: Ints, documents: Ints, min_df: int) -> Ints:
    """Return the sorted keys (>= 0) that occur in at least ``min_df`` documents."""
    order = np.argsort(keys, kind="stable")  # documents ascend, so pairs come out sorted
    keys, documents = keys[order], documents[order]
    new_key = np.diff(keys, prepend=_UNKNOWN) != 0
    new_pair = new_key | (np.diff(documents, prepend=_UNKNOWN) != 0)
    kept, counts = np.unique(keys[new_pair & (keys >= 0)], return_counts=True)
    return kept[counts >= min_df]
