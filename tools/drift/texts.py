"""The texts of the drift demo with hidden labels, and a champion that does not know them."""

import re
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from components import ingest
from components.io import reviews
from components.reading.options import Options
from monitoring import retrain
from monitoring.settings import ROOT

SOURCE = Path("known.parquet")  # what the champion and later versions learn from, beside labels
OTHERS = 6_000  # reviews to respell
_WORD = re.compile(r"\w+")
_MASKED = re.compile(r"@|(?:\d\D{0,2}){7}")  # may be masked when it is captured


@dataclass(frozen=True)
class Texts:
    """Texts to send: like those of the training, and in the other spelling; labels by text."""

    own: list[str]
    other: list[str]
    labels: Mapping[str, str]


def prepare_project(project: Path) -> Texts:
    """Clone this repository, train a champion, and return texts that it has not learned from.

    The reviews to respell are kept apart from those of its training and its test.
    """
    retrain.run(["git", "clone", "--quiet", str(ROOT), str(project)])
    with chdir(project):
        whole = Path("whole.parquet")
        ingest.ingest(Options("builtin"), whole)
        table = reviews.read(whole).sample(frac=1, random_state=0)
        others, known = table[:OTHERS], table[OTHERS:].sort_index()
        names = dict(enumerate(reviews.classes(whole)))
        known.assign(label=known["label"].map(names)).to_parquet(SOURCE)
        params = yaml.safe_load(Path("params.yaml").read_text())
        params["ingest"]["source"] = str(SOURCE)
        Path("params.yaml").write_text(yaml.safe_dump(params))
        retrain.run(["dvc", "repro", "--quiet"])
        test = reviews.read(Path("data/test"))
    return respell(test, others, list(names.values()))


def respell(own: pd.DataFrame, others: pd.DataFrame, classes: Sequence[str]) -> Texts:
    """Return the texts of ``own`` as they are, and those of ``others`` in the other spelling."""
    labels: dict[str, str] = {}
    sent: list[list[str]] = []
    for table, written in ((own, False), (others, True)):
        table = table[~table["text"].str.contains(_MASKED)]
        texts = [
            _WORD.sub(lambda word: word[0][::-1], text) if written else text
            for text in table["text"]
        ]
        labels |= dict(zip(texts, (classes[label] for label in table["label"]), strict=True))
        sent.append(texts)
    own_texts, other_texts = sent
    return Texts(own_texts, other_texts, labels)
