"""Choose how the forms of a word are reduced to one token, by the validation reviews.

Languages with many forms of a word, and short texts, gain by stems or first letters; long English
texts do not (``benchmarks/README.md``). So each reduction is tried with the default weighting on a
bounded number of reviews, and one is taken only if it is better by more than chance.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from components.errors import UserError
from components.io.candidates import Candidate
from sentiment import merging, negation, ngram_keys, ngrams, regression, shards, stems, training
from sentiment.exact import class_probabilities
from sentiment.ngrams import Counts
from sentiment.shards import Shard
from sentiment.tokens import CURRENT
from sentiment.training import Weighting

log = logging.getLogger("merge")

NONE = "none"  # tokens stay as they are
MOST_ROWS = 20_000  # of the training reviews, and of the validation reviews, that a trial uses
_ITERATIONS = 8
_SURE = 1.96  # standard errors


@dataclass(frozen=True)
class Reviews:
    """Counted shards, and what the matrix keeps of their n-grams."""

    train: Sequence[Path]
    valid: Sequence[Path]
    classes: int
    min_df: int
    max_features: int


def choose(names: Sequence[str], reviews: Reviews) -> tuple[str, dict[str, float]]:
    """Return the reduction to use, and the log loss of each on the validation reviews.

    A reduction is taken if the 95% interval of its difference in log loss to plain tokens, over
    the same reviews, is below 0; of several, that of the least loss.

    Raises:
        UserError: a name is unknown or needs NLTK, or no n-gram tells the classes apart.
    """
    if len(names) == 1:
        require(names[0])
        return names[0], {}
    losses = {name: _losses(name, reviews) for name in dict.fromkeys([NONE, *names])}
    best = NONE
    for name, loss in losses.items():
        difference = loss - losses[NONE]
        error = difference.std(ddof=1) / len(difference) ** 0.5 if len(difference) > 1 else np.inf
        better = bool(difference.mean() + _SURE * error < 0)
        log.info("words reduced by %s: log loss %.4f", name, loss.mean())
        if name in names and better and loss.mean() < losses[best].mean():
            best = name
    if NONE not in names and best == NONE:
        best = min(names, key=lambda name: losses[name].mean())
    return best, {name: round(float(loss.mean()), 12) for name, loss in losses.items()}


def require(name: str) -> None:
    """Check the name of a reduction.

    Raises:
        UserError: it is unknown, or needs NLTK, which is not installed.
    """
    try:
        if name != NONE:
            stems.reduction(name, CURRENT)
    except ValueError as error:
        raise UserError(f"--stemmers: {error}") from error


def reduce(counted: Path, name: str, output: Path) -> None:
    """Write the counts of a shard with its tokens reduced."""
    counts = ngrams.reduce(shards.counts_of(counted)(), stems.reduction(name, CURRENT))
    shards.write_counts(counts, shards.labels_of(counted), output)


def _losses(name: str, reviews: Reviews) -> NDArray[np.float64]:
    """Return the log loss of each validation review by a model with this reduction."""
    require(name)
    train, valid = (_open(name, paths) for paths in (reviews.train, reviews.valid))
    try:
        tokens, keys = merging.merge(
            [partial(_counts, each) for each in (*train, *valid)],
            reviews.min_df,
            reviews.max_features,
        )
        index = ngram_keys.numbers(tokens)
        learned, judged = ([_rows(each, index, keys) for each in split] for split in (train, valid))
        default = Candidate()
        weighting = Weighting(
            min_df=reviews.min_df,
            alpha=default.alpha,
            ratio_power=default.ratio_power,
            idf_power=default.idf_power,
            allowed=ngram_keys.lengths(keys) <= default.max_n,
            opposites=negation.opposites(tokens, keys),
        )
        trial = training.attempt(weighting, learned, judged, _ITERATIONS, reviews.classes)
        found = (trial.iterations, trial.slope, trial.offset, reviews.classes)
        linear = training.fit(weighting, learned, *found)
    except ValueError as error:
        raise UserError(f"--counts: {error}") from error
    losses = []
    for shard in judged:
        matrix, labels = shard()
        p = class_probabilities(regression.score(linear, matrix))
        losses.append(-np.log(p[np.arange(len(labels)), labels]))
    return np.concatenate(losses)


def _open(name: str, paths: Sequence[Path]) -> list[tuple[Counts, NDArray[np.int8]]]:
    """Return the counts of the first shards, reduced, and their labels."""
    found, rows = [], 0
    for path in paths:
        counts, labels = shards.counts_of(path)(), shards.labels_of(path)
        reduced = counts if name == NONE else ngrams.reduce(counts, stems.reduction(name, CURRENT))
        found.append((reduced, labels))
        rows += len(labels)
        if rows >= MOST_ROWS:
            break
    return found


def _counts(shard: tuple[Counts, NDArray[np.int8]]) -> Counts:
    return shard[0]


def _rows(
    shard: tuple[Counts, NDArray[np.int8]], index: dict[str, int], keys: ngram_keys.Ints
) -> Shard:
    matrix = ngrams.columns(shard[0], index, keys)
    return lambda: (matrix, shard[1])
