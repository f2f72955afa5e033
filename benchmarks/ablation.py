"""Compare variants of the model by cross-validation on all but the test reviews.

Each row changes one part of the model or adds one, over the same five folds of the training and
validation reviews, by group where they have groups. Differences to the first row have standard
errors: by review, as if reviews were independent, and by fold, which includes what reviews of a
group have in common. Needs ``data/`` from ``make train``, ``--data`` or ``--official``.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import sentiment.kernel.passes
import sentiment.regression
from benchmarks import acl_imdb, folds
from benchmarks.folds import Data, Rows, Scores
from components import cli
from components.errors import UserError
from components.io import reviews
from sentiment.tokens import tokenize

_TIMES = np.arange(256.0)
_SURE = 0.99  # probability above which self-training takes a prediction for a label


def term_frequency(data: Data, weights: Scores) -> Scores:
    """Return scores with other weights of counts, in the kernel and without it."""
    with (
        mock.patch.object(sentiment.regression, "TERM_FREQUENCY", weights),
        mock.patch.object(sentiment.kernel.passes, "TERM_FREQUENCY", weights),
    ):
        return data.model()


def characters(data: Data) -> Scores:
    vectorizer = CountVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=5, dtype=np.int32)
    counts = csr_array(vectorizer.fit_transform(data.texts))
    counts.data = np.minimum(counts.data, 255).astype(np.uint8)
    return data.model(counts)


def surface_features(data: Data) -> Scores:
    """Return scores of the model's score with length, punctuation and capitals."""
    rows = [
        [
            np.log1p(len(text)),
            *(text.count(mark) / len(text) for mark in "!?.\"'("),
            sum(map(str.isupper, text)) / len(text),
        ]
        for text in data.texts
    ]
    return data.regression(np.column_stack([data.model(), rows]))


def lexicon(data: Data) -> Scores:
    """Return scores of the model's score with VADER's four figures."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # of the extra bench

    vader = SentimentIntensityAnalyzer().polarity_scores
    rows = [list(vader(text).values()) for text in data.texts]
    return data.regression(np.column_stack([data.model(), rows]))


def vectors(data: Data) -> Scores:
    """Return scores with 200 latent dimensions, a linear relative of paragraph vectors."""
    tfidf = TfidfVectorizer(tokenizer=tokenize, token_pattern=None, lowercase=False, min_df=3)
    dense = TruncatedSVD(200, random_state=0).fit_transform(tfidf.fit_transform(data.texts))
    return data.regression(np.column_stack([data.model(), dense]))


def logistic(data: Data) -> Scores:
    """Return scores of Wang and Manning's model: log-count ratios of binary n-grams."""

    def score(train: Rows, held_out: Rows) -> Scores:
        present = (data.counts > 0).astype(float)
        positive = data.labels[train] == 1
        p, q = (present[train][side].sum(axis=0) + 1 for side in (positive, ~positive))
        weighted = present.multiply(np.log(p / p.sum()) - np.log(q / q.sum())).tocsr()
        fitted = LogisticRegression(C=0.2, solver="liblinear")
        return fitted.fit(weighted[train], data.labels[train]).decision_function(weighted[held_out])

    return data.out_of_fold(score)


def self_training(data: Data) -> Scores:
    """Return scores after training on the held-out texts, too, where the model is sure of them."""

    def score(train: Rows, held_out: Rows) -> Scores:
        first = data.fit(train, data.labels[train])
        p = first.predict_proba(data.counts[held_out])[:, 1]
        sure = np.maximum(p, 1 - p) > _SURE
        rows = np.concatenate([train, held_out[sure]])
        labels = np.concatenate([data.labels[train], p[sure] > 0.5]).astype(np.int8)
        return data.fit(rows, labels).decision_function(data.counts[held_out])

    return data.out_of_fold(score)


def average(models: Iterable[Scores]) -> Scores:
    return np.mean([scores / scores.std() for scores in models], axis=0)


ROWS: dict[str, Callable[[Data], Scores]] = {
    "the model": Data.model,
    "marked words with weights of their own": lambda data: data.model(data.counts),
    "without the log-count ratio": lambda data: data.model(ratio_power=0),
    "without inverse document frequency": lambda data: data.model(idf_power=0),
    "binary counts": lambda data: term_frequency(data, np.minimum(_TIMES, 1)),
    "raw counts": lambda data: term_frequency(data, _TIMES),
    "4 iterations": lambda data: data.model(iterations=4),
    "logistic regression on ratios (Wang and Manning)": logistic,
    "averaged with that": lambda data: average([data.model(), logistic(data)]),
    "character 2-5 grams instead": characters,
    "averaged with those": lambda data: average([data.model(), characters(data)]),
    "with length, marks and capitals": surface_features,
    "with VADER's figures": lexicon,
    "with 200 latent dimensions": vectors,
    "self-training on the held-out texts": self_training,
}


def read(paths: Sequence[Path], official: Path | None, rows: int | None) -> pd.DataFrame:
    """Return the reviews to compare on, the first ``rows`` of a fixed random order.

    Raises:
        UserError: a file is missing or of another form, or has other classes than two.
    """
    if official is not None:
        table = acl_imdb.read(official, "train")
    else:
        for path in paths:
            if len(reviews.classes(path)) != 2:
                raise UserError(f"--data {path}: has more than two classes")
        table = pd.concat(map(reviews.read, paths), ignore_index=True)
    return table.sample(frac=1, random_state=0)[:rows].reset_index(drop=True)


def compare(data: Data) -> None:
    """Print a row of the table for each variant."""
    base: NDArray[np.bool_] | None = None
    print(
        "| | accuracy | against the model, points | error by review | by fold | log loss"
        f" | gained and lost | seconds |\n|{'---|' * 8}"
    )
    for name, variant in ROWS.items():
        started = time.monotonic()
        scores = variant(data)
        right = data.right(scores)
        base = right if base is None else base
        points, by_review, by_fold = (100 * value for value in data.difference(right, base))
        cells = [name, f"{right.mean():.4f}", f"{points:+.2f}", f"{by_review:.2f}"]
        cells += [f"{by_fold:.2f}", f"{data.log_loss(scores):.4f}"]
        cells += [f"{(right & ~base).sum()}, {(base & ~right).sum()}"]
        cells += [f"{time.monotonic() - started:.0f}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        default=[Path("data", name) for name in ("train", "valid")],
        help="Parquet files of the stages, or folders of them; default: %(default)s",
    )
    parser.add_argument(
        "--official", type=Path, help="folder aclImdb, whose training half to take instead"
    )
    parser.add_argument("--rows", type=int, help="number of reviews; default: all")
    args = parser.parse_args(argv)

    def work() -> None:
        table = read(args.data, args.official, args.rows)
        kind = "group" if folds.is_grouped(table) else "text"
        print(f"{len(table):,} reviews, {folds.FOLDS} folds by {kind}\n", flush=True)
        compare(folds.read(table))

    return cli.run("ablation", work)


if __name__ == "__main__":
    raise SystemExit(main())
