"""Compare variants of the model by cross-validation on all but the test reviews.

Each row changes one part of the model or adds one, over the same five folds of the training and
validation reviews. Needs ``data/`` from ``make train``.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

import sentiment.regression
from components.io import reviews
from sentiment.exact import sigmoid
from sentiment.model import NgramClassifier
from sentiment.tokens import tokenize
from sentiment.vectorizer import NgramVectorizer

Scores = NDArray[np.float64]
_FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)
_TIMES = np.arange(256.0)
_SURE = 0.99  # probability above which self-training takes a prediction for a label


class Data:
    """Texts, labels, and the counts of the model's n-grams."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.texts = table["text"].tolist()
        self.labels = table["label"].to_numpy()
        self.counts = NgramVectorizer().fit_transform(self.texts)
        self.folds = list(_FOLDS.split(self.labels, self.labels))

    def out_of_fold(self, score: Callable[[NDArray[np.intp], NDArray[np.intp]], Scores]) -> Scores:
        """Return the score of each text by the model that was fitted to the other folds."""
        scores = np.zeros(len(self.labels))
        for train, held_out in self.folds:
            scores[held_out] = score(train, held_out)
        return scores

    def model(self, counts: csr_array | None = None, **parameters: Any) -> Scores:
        """Return out-of-fold scores of the model on ``counts``, by default those of its n-grams."""
        matrix = self.counts if counts is None else counts

        def score(train: NDArray[np.intp], held_out: NDArray[np.intp]) -> Scores:
            fitted = NgramClassifier(**parameters).fit(matrix[train], self.labels[train])
            return fitted.decision_function(matrix[held_out])

        return self.out_of_fold(score)

    def regression(self, features: object) -> Scores:
        estimator = make_pipeline(
            StandardScaler(with_mean=not hasattr(features, "tocsr")),
            LogisticRegression(max_iter=1000),
        )
        return cross_val_predict(
            estimator, features, self.labels, cv=self.folds, method="decision_function"
        )


def term_frequency(data: Data, weights: Scores) -> Scores:
    with mock.patch.object(sentiment.regression, "TERM_FREQUENCY", weights):
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

    def score(train: NDArray[np.intp], held_out: NDArray[np.intp]) -> Scores:
        present = (data.counts > 0).astype(float)
        positive = data.labels[train] == 1
        p, q = (present[train][side].sum(axis=0) + 1 for side in (positive, ~positive))
        weighted = present.multiply(np.log(p / p.sum()) - np.log(q / q.sum())).tocsr()
        fitted = LogisticRegression(C=0.2, solver="liblinear")
        return fitted.fit(weighted[train], data.labels[train]).decision_function(weighted[held_out])

    return data.out_of_fold(score)


def self_training(data: Data) -> Scores:
    """Return scores after training on the held-out texts, too, where the model is sure of them."""

    def score(train: NDArray[np.intp], held_out: NDArray[np.intp]) -> Scores:
        first = NgramClassifier().fit(data.counts[train], data.labels[train])
        p = first.predict_proba(data.counts[held_out])[:, 1]
        sure = np.maximum(p, 1 - p) > _SURE
        rows = np.concatenate([train, held_out[sure]])
        labels = np.concatenate([data.labels[train], p[sure] > 0.5])
        return (
            NgramClassifier()
            .fit(data.counts[rows], labels)
            .decision_function(data.counts[held_out])
        )

    return data.out_of_fold(score)


def average(models: Iterable[Scores]) -> Scores:
    return np.mean([scores / scores.std() for scores in models], axis=0)


ROWS: dict[str, Callable[[Data], Scores]] = {
    "the model": Data.model,
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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("--rows", type=int, help="number of reviews; default: all")
    args = parser.parse_args(argv)
    splits = [reviews.read(Path("data", name)) for name in ("train", "valid")]
    data = Data(pd.concat(splits)[: args.rows])
    base: NDArray[np.bool_] | None = None
    print("| | accuracy | log loss | gained and lost | seconds |\n|---|---|---|---|---|")
    for name, variant in ROWS.items():
        started = time.monotonic()
        scores = variant(data)
        right = (scores > 0) == (data.labels == 1)
        p = sigmoid(data.regression(scores[:, None]))
        loss = log_loss(data.labels, p)
        base = right if base is None else base
        changes = f"{(right & ~base).sum()}, {(base & ~right).sum()}"
        seconds = time.monotonic() - started
        print(
            f"| {name} | {right.mean():.4f} | {loss:.4f} | {changes} | {seconds:.0f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
