"""Compare the accuracy that a model's confidence promises with the true one, over shifts of texts.

Models of the built-in sets, calibrated on held-out texts as by the stage train, answer texts that
were changed or come from elsewhere; half of the test reviews are the reference, the other half is
changed. Needs ``data/`` from ``make train``.
"""

import argparse
import codecs
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import sentiment.model
from benchmarks.labelled import rotten_tomatoes
from components.io import reviews
from components.reading import generated
from sentiment import confidence, drift, regression, unseen
from sentiment.regression import calibrate
from sentiment.scorer import Scored, Scorer

TEXTS = 2_000  # of a shift, at most; the predictor's window
WRONG = 0.03  # difference to the true accuracy, if it is more than chance
CLASSES = ("negative", "neutral", "positive")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
RULES = (  # sets of limits to compare
    ("score",),
    ("score", "length"),
    ("score", "length", "class"),
    ("score", "length", "class", "unseen"),
    ("score", "length", "class", "unknown"),
    ("score", "length", "class", "unknown", "unseen"),
)
MAX_UNSEEN = 0.05  # share of texts in unseen languages, the limit of SentimentUnseenTexts
Shifts = Iterator[tuple[str, pd.DataFrame]]


class Row(NamedTuple):
    """A model and a shift: the estimate, its parts and the truth.

    ``excess`` is the mean confidence on the test texts less their accuracy, ``unseen`` a share.
    """

    model: str
    shift: str
    texts: int
    expected: float
    excess: float
    true: float
    stability: Mapping[str, float]
    unseen: float

    @property
    def is_wrong(self) -> bool:
        return self._is_off(self.expected)

    @property
    def is_difference_wrong(self) -> bool:
        """Tell whether the difference of confidences of Guillory et al. is wrong."""
        return self._is_off(self.expected - self.excess)

    def _is_off(self, estimate: float) -> bool:
        error = 2 * np.sqrt(self.true * (1 - self.true) / self.texts)
        return abs(estimate - self.true) > max(WRONG, error)

    @property
    def is_believed(self) -> bool:
        return not confidence.doubts(self.stability)


class Judge:
    """A model with the figures of its test texts, as a version in the registry has them."""

    def __init__(self, train: pd.DataFrame, valid: pd.DataFrame, test: pd.DataFrame) -> None:
        labels = train["label"].to_numpy()
        self._classes = len(np.unique(labels))
        model = sentiment.model.build().fit(train["text"], labels)
        counts, classifier = model["ngrams"].transform(valid["text"]), model["classifier"]
        linear = classifier.linear()
        fitted = calibrate(
            regression.score(linear, counts), valid["label"].to_numpy(), self._classes
        )
        classifier.adopt(
            regression.calibrated(linear, *fitted), [str(n) for n in range(self._classes)]
        )
        self._scorer = Scorer(sentiment.model.parameters(model))
        scored = self._scorer.score(test["text"].tolist())
        statistics = _describe(scored)
        self._reference = drift.reference(statistics, self._classes)
        right = scored.probabilities.argmax(axis=1) == test["label"].to_numpy()
        self._excess = float(scored.probabilities.max(axis=1).mean() - right.mean())
        limit = unseen.limit(statistics["length"], statistics["unknown"])
        self._scorer = Scorer(sentiment.model.parameters(model), limit)

    def judge(self, name: str, shift: str, texts: pd.DataFrame) -> Row:
        """Return the expected and the true accuracy on labelled texts."""
        scored = self._scorer.score(texts["text"].tolist())
        statistics = _describe(scored)
        right = scored.probabilities.argmax(axis=1) == texts["label"].to_numpy()
        return Row(
            name,
            shift,
            len(texts),
            confidence.expected_accuracy(statistics["score"], self._classes),
            self._excess,
            float(right.mean()),
            drift.stability(self._reference, statistics),
            len(scored.unseen) / len(texts),
        )


def _describe(scored: Scored) -> drift.Statistics:
    share = scored.unknown / np.maximum(scored.tokens, 1)
    return drift.statistics(scored.probabilities, scored.tokens.astype(float), share)


def mistype(text: str, share: float, draw: random.Random) -> str:
    """Return a text with this share of its letters left out, replaced or doubled."""
    return "".join(
        draw.choice(("", draw.choice(LETTERS), letter * 2))
        if letter.isalpha() and draw.random() < share
        else letter
        for letter in text
    )


def of_class(table: pd.DataFrame, label: int, share: float) -> pd.DataFrame:
    """Return as many rows as possible with this share of a label."""
    rows, rest = (table[keep] for keep in (table["label"] == label, table["label"] != label))
    total = min(len(rows) / share, len(rest) / (1 - share))
    parts = ((rows, share), (rest, 1 - share))
    return pd.concat([part.sample(int(total * each), random_state=0) for part, each in parts])


def mixed(table: pd.DataFrame, other: pd.DataFrame, share: float) -> pd.DataFrame:
    count = int(len(table) * share)
    kept = table.sample(len(table) - count, random_state=0)
    return pd.concat([kept, other.sample(count, random_state=0)])


def shifts(texts: pd.DataFrame, names: Sequence[str], lengths: Sequence[int]) -> Shifts:
    """Yield changes of the texts themselves, and of the shares of their classes."""
    draw = random.Random(0)  # noqa: S311 - not for cryptography

    def each(change: Callable[[str], str]) -> pd.DataFrame:
        return texts.assign(text=texts["text"].map(change))

    def words(change: Callable[[list[str]], list[str]]) -> pd.DataFrame:
        return each(lambda text: " ".join(change(text.split())))

    yield "none", texts
    for count in lengths:
        yield f"first {count} words", words(itemgetter(slice(count)))
    for share in (0.02, 0.05, 0.1):
        yield f"{share:.0%} of letters mistyped", each(partial(mistype, share=share, draw=draw))
    yield "30% of words left out", words(lambda all: [each for each in all if draw.random() > 0.3])
    yield "words in any order", words(lambda all: draw.sample(all, len(all)))
    # no word is known, and lengths stay the same
    coded = each(lambda text: codecs.encode(text, "rot13"))
    for share in (0.1, 0.2, 0.3):
        yield f"{share:.0%} in ROT13", mixed(texts, coded, share)
    for label, name in enumerate(names):
        for share in (0.7, 0.9):
            yield f"{share:.0%} {name}", of_class(texts, label, share)
    changed = texts.copy()
    some = changed.sample(frac=0.1, random_state=0).index
    changed.loc[some, "label"] = (changed.loc[some, "label"] + 1) % len(names)
    yield "10% of labels changed", changed
    one = pd.concat([texts[:1]] * len(texts), ignore_index=True)
    yield "30% are one text", mixed(texts, one, 0.3)


def others(texts: pd.DataFrame, found: Mapping[str, pd.DataFrame]) -> Shifts:
    """Yield texts of other sets, alone and among those like the test texts."""
    for name, table in found.items():
        for share in (0.1, 0.2):
            yield f"{share:.0%} {name}", mixed(texts, table, share)
        yield name, table.sample(min(TEXTS, len(table)), random_state=0)


def parts(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Return texts to train, calibrate, refer to and change."""
    shuffled = table.sample(frac=1, random_state=0).reset_index(drop=True)
    bounds = [int(len(table) * share) for share in (0, 0.55, 0.65, 0.8, 1)]
    found = [shuffled[a:b] for a, b in pairwise(bounds)]
    return [*found[:3], found[3][:TEXTS]]


def measure(labelled: Path | None) -> Iterator[Row]:
    """Yield each model with each shift; ``labelled`` is what benchmarks.labelled has written."""
    two = (CLASSES[0], CLASSES[2])
    train, valid, test = (reviews.read(Path("data", part)) for part in ("train", "valid", "test"))
    columns = ["text", "label"]
    halves = [test[columns].sample(frac=1, random_state=0)[part::2] for part in (0, 1)]
    reference, new = halves[0], halves[1][:TEXTS].reset_index(drop=True)
    sentences = rotten_tomatoes().astype({"label": int}).reset_index(drop=True)
    sets = {"sentences": sentences}
    three: dict[str, pd.DataFrame] = {}
    for path in sorted(labelled.glob("*.csv")) if labelled else ():
        table = pd.read_csv(path).dropna()
        if set(table["label"]) == set(CLASSES):
            three[path.stem] = table.assign(label=table["label"].map(CLASSES.index))
        if path.stem != "rotten-tomatoes":
            poles = table[table["label"].isin(two)]
            sets[path.stem] = poles.assign(label=poles["label"].map(two.index))

    model = Judge(train, valid, reference)
    for shift in (*shifts(new, two, (10, 25, 50, 100)), *others(new, sets)):
        yield model.judge("reviews", *shift)
    sided = Judge(*(of_class(part, 1, 0.8) for part in (train, valid, reference)))
    usual = of_class(new, 1, 0.8).reset_index(drop=True)
    for share in (0.8, 0.5, 0.2):
        yield sided.judge("reviews, 80% positive", f"{share:.0%} positive", of_class(new, 1, share))
    for shift in others(usual, {"sentences": sentences}):
        yield sided.judge("reviews, 80% positive", *shift)
    *learned, kept = parts(sentences)
    model = Judge(*learned)
    cut = new.assign(text=new["text"].map(lambda text: " ".join(text.split()[:20])))
    for shift in (("none", kept), ("first 20 words of reviews", cut), ("reviews", new)):
        yield model.judge("sentences", *shift)
    remarks = pd.DataFrame([(each.text, each.label) for each in generated.read()], columns=columns)
    three = {"remarks": remarks.assign(label=remarks["label"].map(CLASSES.index)), **three}
    for name, table in three.items():
        *learned, kept = parts(table[columns])
        model = Judge(*learned)
        for shift in shifts(kept.reset_index(drop=True), CLASSES, (5, 10)):
            yield model.judge(name, *shift)


def table(rows: Sequence[Row]) -> Iterator[str]:
    heads = "model, shift, texts, expected, true, difference, score, length, class, unknown, unseen"
    yield f"| {heads.replace(', ', ' | ')} | believed |"
    yield f"|{'---|' * 12}"
    for row in rows:
        figures = [
            f"{row.stability[name]:.2f}" if name in row.stability else ""
            for name in ("score", "length", "class", "unknown")
        ]
        difference = f"{100 * (row.expected - row.true):+.1f}"
        yield (
            f"| {row.model} | {row.shift} | {row.texts} | {row.expected:.3f} | {row.true:.3f} |"
            f" {f'**{difference}**' if row.is_wrong else difference} | {' | '.join(figures)} |"
            f" {row.unseen:.3f} | {'yes' if row.is_believed else 'no'} |"
        )


def compare(rows: Sequence[Row]) -> Iterator[str]:
    """Yield how often an estimate is wrong, by sets of limits."""
    wrong = sum(row.is_wrong for row in rows)
    other = sum(row.is_difference_wrong for row in rows)
    yield f"{wrong} of {len(rows)} estimates are wrong; of differences of confidences {other}.\n"
    yield "| limits of | wrong and believed | right and not believed |"
    yield "|---|---|---|"
    limits = confidence.MAX_PSI | {"unseen": MAX_UNSEEN}
    for names in RULES:
        missed = needless = 0
        for row in rows:
            figures = {**row.stability, "unseen": row.unseen}
            believed = all(figures.get(name, 0) <= limits[name] for name in names)
            missed += row.is_wrong and believed
            needless += not row.is_wrong and not believed
        yield f"| {', '.join(names)} | {missed} | {needless} |"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.expected_accuracy", description=__doc__
    )
    parser.add_argument(
        "--labelled", type=Path, help="folder of benchmarks.labelled; default: built-in sets only"
    )
    args = parser.parse_args(argv)
    rows = list(measure(args.labelled))
    print("\n".join(table(rows)), end="\n\n")
    print("\n".join(compare(rows)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
