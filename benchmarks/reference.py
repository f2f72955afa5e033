"""Rebuild the system that this one replaces, from a description, to measure its stages.

It cleans with ``DataFrame.apply``, keeps the 50 commonest words, passes dense CSV files between
stages, and fits an L1 logistic regression. NLTK's stop words and WordNet need a download;
scikit-learn's list and the Porter stemmer replace them.
"""

import argparse
import json
import pickle
import re
import string
from pathlib import Path

import pandas as pd
from nltk.stem import PorterStemmer
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

VECTORIZER = "vectorizer.pkl"
_stem = PorterStemmer().stem


def clean(text: str) -> str:
    text = " ".join(_stem(word) for word in text.split())
    text = " ".join(word for word in text.split() if word not in ENGLISH_STOP_WORDS)
    text = "".join(character for character in text if not character.isdigit())
    text = text.lower()
    text = re.sub(f"[{re.escape(string.punctuation)}]", " ", text)
    return re.sub(r"https?://\S+|www\.\S+", "", " ".join(text.split()))


def ingest(source: Path, work: Path) -> None:
    table = pd.read_parquet(source)[["text", "label"]]
    train, test = train_test_split(table, test_size=0.2, random_state=42)
    train.to_csv(work / "train.csv", index=False)
    test.to_csv(work / "test.csv", index=False)


def prepare(source: Path, work: Path) -> None:
    for name in ("train", "test"):
        table = pd.read_csv(work / f"{name}.csv")
        table["text"] = table["text"].apply(clean)
        table.to_csv(work / f"{name}_clean.csv", index=False)


def features(source: Path, work: Path) -> None:
    train, test = (pd.read_csv(work / f"{n}_clean.csv").fillna("") for n in ("train", "test"))
    vectorizer = CountVectorizer(max_features=50)
    for name, table, counts in (
        ("train", train, vectorizer.fit_transform(train["text"])),
        ("test", test, vectorizer.transform(test["text"])),
    ):
        dense = pd.DataFrame(counts.toarray())
        dense["label"] = table["label"]
        dense.to_csv(work / f"{name}_features.csv", index=False)
    (work / VECTORIZER).write_bytes(pickle.dumps(vectorizer))


def train(source: Path, work: Path) -> None:
    table = pd.read_csv(work / "train_features.csv")
    model = LogisticRegression(C=1, solver="liblinear", l1_ratio=1.0)
    model.fit(table.iloc[:, :-1].to_numpy(), table["label"].to_numpy())
    (work / "model.pkl").write_bytes(pickle.dumps(model))


def evaluate(source: Path, work: Path) -> None:
    table = pd.read_csv(work / "test_features.csv")
    model = pickle.loads((work / "model.pkl").read_bytes())  # noqa: S301 - written above
    accuracy = accuracy_score(table["label"], model.predict(table.iloc[:, :-1].to_numpy()))
    (work / "metrics.json").write_text(json.dumps({"accuracy": accuracy}))


STAGES = {stage.__name__: stage for stage in (ingest, prepare, features, train, evaluate)}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reference", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("source", type=Path, help="Parquet file from our ingest")
    parser.add_argument("work", type=Path, help="directory for the files between stages")
    args = parser.parse_args(argv)
    STAGES[args.stage](args.source, args.work)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
