"""Ask the suite of behaviour of the model, of variants of it and of VADER's lexicon.

A capability's cell is the share of its cases that pass. A *changed label* is a swap, such as that
of a name, that changes the answer. No variant was fitted to the suite. Needs ``data/`` from ``make
train``; the variants learn from its training and validation reviews as the stages do.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import log_loss
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from components.behaviour import reading
from components.behaviour.suite import Case
from components.io import reviews
from components.io.candidates import Candidate
from sentiment import ngram_keys, regression, training
from sentiment.exact import Floats, class_probabilities
from sentiment.negation import NO_OPPOSITES
from sentiment.parameters import LABELS
from sentiment.shards import split_rows
from sentiment.training import Weighting
from sentiment.vectorizer import NgramVectorizer

SWAPS = ("names", "places", "numbers", "religions", "nationalities", "genders")
_MOST_ITERATIONS = 8
_MIN_DF = 2

Answer = Callable[[Sequence[str]], Floats]  # texts -> probabilities, shape (texts, 2)


def fitted(train: pd.DataFrame, valid: pd.DataFrame, tokens: int, opposites: bool) -> Answer:
    """Return the answers of a model with tokens of this version, with or without opposites."""
    vectorizer = NgramVectorizer(min_df=_MIN_DF, tokens=tokens)
    counts = vectorizer.fit_transform([*train["text"], *valid["text"]])
    labels = np.append(train["label"], valid["label"]).astype(np.int8)
    default = Candidate()
    weighting = Weighting(
        min_df=_MIN_DF,
        alpha=default.alpha,
        ratio_power=default.ratio_power,
        idf_power=default.idf_power,
        allowed=ngram_keys.lengths(vectorizer.keys_) <= default.max_n,
        opposites=vectorizer.opposites() if opposites else NO_OPPOSITES,
    )
    learned, judged = (
        split_rows(counts[rows], labels[rows])
        for rows in (slice(None, len(train)), slice(len(train), None))
    )
    trial = training.attempt(weighting, learned, judged, _MOST_ITERATIONS)
    rows = split_rows(counts, labels)
    linear = training.fit(weighting, rows, trial.iterations, trial.slope, trial.offset)
    return lambda texts: class_probabilities(regression.score(linear, vectorizer.transform(texts)))


def lexicon(texts: Sequence[str]) -> Floats:
    """Return VADER's compound score as if it were a probability."""
    compound = SentimentIntensityAnalyzer().polarity_scores
    positive = np.array([(compound(text)["compound"] + 1) / 2 for text in texts])
    return np.column_stack([1 - positive, positive])


def results(answer: Answer, cases: Sequence[Case]) -> Iterator[tuple[str, bool, bool]]:
    """Yield of each case its capability, whether it passes, and whether its answers differ."""
    p, done = answer([text for case in cases for text in case.texts]), 0
    for case in cases:
        own = p[done : done + len(case.texts)]
        done += len(case.texts)
        yield case.capability, case.passes(own, LABELS), len({*own.argmax(axis=1)}) > 1


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.behaviour", description=__doc__)
    parser.add_argument("--suite", default=reading.BUILTIN, help="YAML file; default: the built-in")
    parser.add_argument("--rows", type=int, help="number of training reviews; default: all")
    args = parser.parse_args(argv)
    train, valid, test = (reviews.read(Path("data", part)) for part in ("train", "valid", "test"))
    train = train.sample(frac=1, random_state=0)[: args.rows]
    variants: dict[str, Answer] = {
        "without marks": fitted(train, valid, tokens=2, opposites=False),
        "marks": fitted(train, valid, tokens=3, opposites=False),
        "marks and opposites (the model)": fitted(train, valid, tokens=3, opposites=True),
        "VADER": lexicon,
    }
    suite = reading.read(args.suite)
    if suite is None:
        parser.error(f"--suite {args.suite}: no suite to ask")
    cases = list(suite.each_case())
    columns: dict[str, dict[str, str]] = {}
    labels = test["label"].to_numpy()
    for name, answer in variants.items():
        p = answer(test["text"].tolist())
        right = p.argmax(axis=1) == labels
        interval = binomtest(int(right.sum()), len(labels)).proportion_ci(method="wilson")
        columns[name] = {
            "accuracy on the test reviews": f"{right.mean():.4f}",
            "95% interval": f"{interval.low:.4f} to {interval.high:.4f}",
            "log loss": f"{log_loss(labels, p):.4f}",
        }
        found = pd.DataFrame(results(answer, cases), columns=["capability", "passed", "differs"])
        for capability in found["capability"].unique():
            group = found[found["capability"] == capability]
            title = f"{capability} ({len(group)})"
            columns[name][title] = f"{group['passed'].mean():.3f}"
            if capability in SWAPS:
                columns[name][f"changed label: {capability}"] = f"{group['differs'].mean():.3f}"
    print(f"| | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for title in next(iter(columns.values())):
        print(f"| {title} | {' | '.join(column[title] for column in columns.values())} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
