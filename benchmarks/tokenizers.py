"""Compare tokenizers by cross-validation on all but the test reviews.

Prints accuracy, log loss and seconds for each, over the same five folds, with the model's other
parts unchanged. NLTK's stop words and lemmatizer need data that no package registry has.
"""

import argparse
import re
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
from nltk.sentiment.util import mark_negation
from nltk.stem import PorterStemmer, SnowballStemmer
from nltk.tokenize import TweetTokenizer
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

import sentiment.model
import sentiment.tokens
from components.io import reviews
from sentiment.tokens import CURRENT, Tokenizer, locate, tokenize

FOLDS = 5
# the commonest function words; NLTK's list needs a download
_STOP = frozenset(
    """a about all am an and any are as at be been being but by can could did do does for from had
    has have he her him his how i if in is it its just me more most my no nor not of on only or
    other our own same she should so some such than that the their them then there these they this
    those to too very was we were what when where which who will with would you your""".split()  # noqa: SIM905
)
_MARKS = re.compile(r"\w+(?:'\w+)?|[.!?:;,]")
_APOSTROPHES = re.compile(r"\w+(?:'\w+)?")
_porter = lru_cache(None)(PorterStemmer().stem)
_snowball = lru_cache(None)(SnowballStemmer("english").stem)
_tweet = TweetTokenizer()


def _lower_without_tags(text: str) -> str:
    return re.sub(r"<[^<>]*>", " ", text).lower()


TOKENIZERS: dict[str, Callable[[str], list[str]]] = {
    "words and single marks (the model's)": tokenize,
    "words": lambda text: re.findall(r"\w+", _lower_without_tags(text)),
    "words with case": lambda text: re.findall(r"\w+", re.sub(r"<[^<>]*>", " ", text)),
    "words with apostrophes": lambda text: _APOSTROPHES.findall(_lower_without_tags(text)),
    "words and punctuation": lambda text: _MARKS.findall(_lower_without_tags(text)),
    "words but stop words": lambda text: [t for t in tokenize(text) if t not in _STOP],
    "NLTK TweetTokenizer": lambda text: _tweet.tokenize(_lower_without_tags(text)),
    "NLTK mark_negation": lambda text: mark_negation(_MARKS.findall(_lower_without_tags(text))),
    "NLTK Porter stems": lambda text: [_porter(t) for t in tokenize(text)],
    "NLTK Snowball stems": lambda text: [_snowball(t) for t in tokenize(text)],
}


def score(tokenizer: Callable[[str], list[str]], table: pd.DataFrame) -> tuple[float, float]:
    """Return accuracy and log loss of the model over the folds."""
    labels = table["label"].to_numpy()
    p = np.zeros(len(table))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(table, labels)
    tried = {CURRENT: Tokenizer(tokenizer, locate)}
    with mock.patch.dict(sentiment.tokens.TOKENIZERS, tried):
        for train, held_out in folds:
            model = sentiment.model.build()
            model.fit(table["text"].iloc[train], labels[train])
            p[held_out] = sentiment.model.probabilities(model, table["text"].iloc[held_out])[:, 1]
    return float(((p > 0.5) == labels).mean()), float(log_loss(labels, p))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tokenizers", description=__doc__)
    parser.add_argument("--rows", type=int, help="number of reviews; default: all")
    args = parser.parse_args(argv)
    splits = [reviews.read(Path("data", name)) for name in ("train", "valid")]
    table = pd.concat(splits)[: args.rows]
    print("| tokens | accuracy | log loss | seconds |\n|---|---|---|---|")
    for name, tokenizer in TOKENIZERS.items():
        started = time.monotonic()
        accuracy, loss = score(tokenizer, table)
        seconds = time.monotonic() - started
        print(f"| {name} | {accuracy:.4f} | {loss:.4f} | {seconds:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
