"""Compare NLTK's analyzers with the model's tokens on a labelled file, in a language of the stems.

Each text is tested once, by a model that was trained without it. As in the pipeline, validation
texts find the number of iterations and the calibration, and then the model is fitted to the
training and the validation texts. A difference is that to another row on the same texts, with its
95% interval, in bold if that excludes 0. The rows *chosen* take in each fold the tokens of the
least log loss on its validation texts, so that no choice is made by the texts that are tested. Rows
in italics show what can be had without NLTK.
"""

import argparse
import csv
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import yaml
from nltk.sentiment.util import mark_negation
from nltk.tokenize import TweetTokenizer
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import StratifiedKFold, train_test_split

from components.io import candidates
from sentiment import ngram_keys, regression, training
from sentiment.exact import class_probabilities
from sentiment.shards import split_rows
from sentiment.stems import FIRST, LANGUAGES, reduced, reduction
from sentiment.tokens import CURRENT, TOKENIZERS
from sentiment.training import Weighting, attempt
from sentiment.vectorizer import NgramVectorizer

Tokenize = Callable[[str], list[str]]
Rows = NDArray[np.intp]

FOLDS = 5
_MAX_ITERATIONS = 8
_VALID = 0.125  # of the texts that are not tested, as in the pipeline
MODEL = "the model's"
STEMS = "Snowball stems"
# the words after which NLTK marks all others to the end of the clause; NLTK has the English ones
_NEGATIONS = {
    "arabic": "لا ليس ليست لم لن ما بدون",
    "danish": "ikke ingen intet aldrig uden",
    "dutch": "niet geen nooit niets niemand zonder",
    "finnish": "ei en et emme ette eivät älä älkää ilman",
    "french": "ne n pas jamais rien aucun aucune sans",
    "german": "nicht kein keine keinen keinem keiner keines nie niemals nichts ohne",
    "hungarian": "nem ne nincs nincsenek se sem soha nélkül",
    "italian": "non né mai niente nessun nessuno nessuna senza",
    "norwegian": "ikke ikkje ingen ingenting aldri uten",
    "portuguese": "não nao nunca nem nada nenhum nenhuma sem",
    "romanian": "nu n niciodată nimic nici fără fara",
    "russian": "не нет ни никогда ничего нельзя без",
    "spanish": "no nunca jamás nada ni ningún ninguna sin",
    "swedish": "inte icke ej ingen inget inga aldrig utan",
}
_CLAUSE_ENDS = frozenset(".,:;!?")


class Data(NamedTuple):
    texts: list[str]
    labels: NDArray[np.int8]
    classes: int


class Fitted(NamedTuple):
    """What one variant gave: log loss on validation texts of each fold, and figures of each text.

    ``right`` tells whether the prediction for a text was right, ``loss`` is its log loss.
    """

    valid: NDArray[np.float64]
    right: NDArray[np.bool_]
    loss: NDArray[np.float64]


def read(path: Path) -> Data:
    """Read a CSV file with the columns text and label; a text that occurs twice is read once.

    Raises:
        ValueError: a column is missing, or a class has too few texts for the folds.
    """
    csv.field_size_limit(10**8)
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        if missing := {"text", "label"} - {*(table.fieldnames or [])}:
            raise ValueError(f"{path}: has no column {', '.join(sorted(missing))}")
        found = {row["text"]: row["label"] for row in table}
    sizes = Counter(found.values())
    if len(sizes) < 2 or min(sizes.values()) < 2 * FOLDS:
        raise ValueError(
            f"{path}: needs two classes of {2 * FOLDS} texts or more, has {dict(sizes)}"
        )
    names = sorted(sizes)
    labels = np.array([names.index(name) for name in found.values()], np.int8)
    return Data(list(found), labels, len(names))


def tokenizers(language: str) -> dict[str, Tokenize]:
    """Return the tokens to compare by name; the first are the model's."""
    stem = reduction(language, CURRENT)
    tweet = TweetTokenizer(preserve_case=False, reduce_len=True).tokenize
    return {
        MODEL: TOKENIZERS[CURRENT].tokenize,
        STEMS: reduced(CURRENT, language).tokenize,
        "TweetTokenizer": tweet,
        "TweetTokenizer, stems": lambda text: [stem(token) for token in tweet(text)],
        "negation marks": lambda text: _negated(TOKENIZERS[2].tokenize(text), language),
    } | {f"*first {n} letters*": reduced(CURRENT, name).tokenize for name, n in FIRST.items()}


def variants(
    texts: Sequence[str], language: str
) -> Iterator[tuple[str, csr_array, NDArray[np.int64]]]:
    """Yield name, counts and lengths of the n-grams of each variant, the model's first."""
    counted = {}
    for name, tokenizer in tokenizers(language).items():
        tried = {CURRENT: TOKENIZERS[CURRENT]._replace(prepare=tokenizer)}
        with mock.patch.dict(TOKENIZERS, tried):
            vectorizer = NgramVectorizer()
            counts = vectorizer.fit_transform(texts)
        counted[name] = counts, ngram_keys.lengths(vectorizer.keys_)
        yield name, *counted[name]
    vectorizer = CountVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, dtype=np.int32)
    counts = csr_array(vectorizer.fit_transform(texts))
    counts.data = np.minimum(counts.data, ngram_keys.MAX_COUNT).astype(np.uint8)
    counted["*2-5 characters*"] = counts, np.ones(counts.shape[1], np.int64)
    yield "*2-5 characters*", *counted["*2-5 characters*"]
    for name in (STEMS, "*first 5 letters*", "*2-5 characters*"):
        pair = counted[MODEL], counted[name]
        both = hstack([counts for counts, _ in pair], format="csr")
        beside = f"{MODEL} and {name}" if name == STEMS else f"*{MODEL} and {name[1:]}"
        yield beside, both, np.concatenate([lengths for _, lengths in pair])


def _negated(tokens: list[str], language: str) -> list[str]:
    """Mark each token after a negation to the end of its clause, as NLTK does in English."""
    if language == "english":
        joined = " ".join(tokens).replace("n ' t", "n't")
        return mark_negation(joined.split(" "))
    starts, inside, marked = _NEGATIONS[language].split(), False, []
    for token in tokens:
        inside = inside and token not in _CLAUSE_ENDS
        marked.append(f"{token}_NEG" if inside else token)
        inside = inside or token in starts
    return marked


def split(data: Data, size: int | None) -> list[tuple[Rows, Rows, Rows]]:
    """Return rows to train on, to validate on and to test, of each fold.

    ``size`` is the number of texts to train and validate on; None takes all that are not tested.
    """
    folds = []
    for rest, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(
        data.labels, data.labels
    ):
        if size is not None and size < len(rest):
            rest, _ = train_test_split(
                rest, train_size=size, stratify=data.labels[rest], random_state=0
            )
        train, valid = train_test_split(
            rest, test_size=_VALID, stratify=data.labels[rest], random_state=0
        )
        folds.append((train, valid, test))
    return folds


def fit(
    data: Data,
    counts: csr_array,
    lengths: NDArray[np.int64],
    folds: list[tuple[Rows, Rows, Rows]],
    search: Sequence[str],
) -> Fitted:
    """Fit the model to ``counts`` in each fold, with the weighting of the least validation loss.

    ``lengths`` are the numbers of tokens of the n-grams, and ``search`` the weightings to try.
    """
    right, loss = np.zeros(len(data.labels), bool), np.zeros(len(data.labels))
    losses = []
    for *rest, test in folds:
        learned = counts[np.concatenate(rest)]
        kept = np.flatnonzero(np.bincount(learned.indices, minlength=counts.shape[1]) >= 2)
        train, valid = (split_rows(counts[rows][:, kept], data.labels[rows]) for rows in rest)
        trials = []
        for name in search:
            candidate = candidates.parse(name)
            weighting = Weighting(
                min_df=2,
                alpha=candidate.alpha,
                ratio_power=candidate.ratio_power,
                idf_power=candidate.idf_power,
                allowed=lengths[kept] <= candidate.max_n,
            )
            trials.append(
                (weighting, attempt(weighting, train, valid, _MAX_ITERATIONS, data.classes))
            )
        weighting, trial = min(trials, key=lambda pair: pair[1].log_loss)
        found = (trial.iterations, trial.slope, trial.offset, data.classes)
        linear = training.fit(weighting, [*train, *valid], *found)
        p = class_probabilities(regression.score(linear, counts[test][:, kept]))
        right[test] = p.argmax(axis=1) == data.labels[test]
        loss[test] = -np.log(p[np.arange(len(test)), data.labels[test]])
        losses.append(trial.log_loss)
    return Fitted(np.array(losses), right, loss)


def choose(
    variants: Sequence[Fitted], folds: list[tuple[Rows, Rows, Rows]]
) -> tuple[Fitted, list[int]]:
    """Return in each fold the variant of the least validation loss, and its position."""
    choices = np.argmin([fitted.valid for fitted in variants], axis=0).tolist()
    right, loss = variants[0].right.copy(), variants[0].loss.copy()
    for choice, (_, _, test) in zip(choices, folds, strict=True):
        right[test], loss[test] = variants[choice].right[test], variants[choice].loss[test]
    valid = np.min([fitted.valid for fitted in variants], axis=0)
    return Fitted(valid, right, loss), choices


def interval(differences: NDArray[np.float64], scale: float, digits: int) -> str:
    """Return the mean difference and its 95% interval, times ``scale``."""
    mean = differences.mean()
    half = 1.96 * differences.std(ddof=1) / len(differences) ** 0.5
    low, middle, high = (
        f"{scale * value:+.{digits}f}" for value in (mean - half, mean, mean + half)
    )
    sure = "**" if mean - half > 0 or mean + half < 0 else ""
    return f"{sure}{middle}{sure} ({low} to {high})"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.analyzers", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="CSV file with text and label")
    parser.add_argument("--language", choices=LANGUAGES, required=True, help="of the stems")
    parser.add_argument("--train", type=int, help="number of texts to learn from; default: all")
    parser.add_argument(
        "--against", default=MODEL, help=f"row that the others are compared with; default: {MODEL}"
    )
    parser.add_argument(
        "--search", action="store_true", help="try the weightings of params.yaml for each variant"
    )
    args = parser.parse_args(argv)
    try:
        data = read(args.data)
    except (OSError, ValueError) as error:
        parser.error(f"--data: {error}")
    folds = split(data, args.train)
    search = ["default"]
    if args.search:
        search = yaml.safe_load(Path("params.yaml").read_text())["trial"]["candidates"]
    fitted: dict[str, Fitted] = {}
    for name, counts, lengths in variants(data.texts, args.language):
        started = time.process_time()
        fitted[name] = fit(data, counts, lengths, folds, search)
        print(f"{name}: {time.process_time() - started:.1f} s", file=sys.stderr, flush=True)
    for title, group in {
        "chosen of the model's and NLTK's": [name for name in fitted if name[0] != "*"],
        "chosen of the model's, stems and first letters": [
            name for name in fitted if name in (MODEL, STEMS) or name.startswith("*first")
        ],
    }.items():
        result, choices = choose([fitted[name] for name in group], folds)
        times = Counter(group[choice] for choice in choices).most_common()
        fitted[f"{title} ({', '.join(f'{name} {n}' for name, n in times)})"] = result
    if args.against not in fitted:
        parser.error(f"--against: {args.against} is none of {', '.join(fitted)}")
    learned = np.mean([len(train) + len(valid) for train, valid, _ in folds])
    print(
        f"{args.data.stem}: {len(data.texts)} texts, {data.classes} classes, learned {learned:.0f}"
    )
    print("\n| tokens | validation log loss | accuracy | points | log loss | difference |")
    print("|---|---|---|---|---|---|")
    base = fitted[args.against]
    for name, each in fitted.items():
        differences = [
            interval(each.right.astype(float) - base.right, 100, 2),
            interval(each.loss - base.loss, 1, 4),
        ]
        points, loss = ["", ""] if each is base else differences
        print(
            f"| {name} | {each.valid.mean():.4f} | {each.right.mean():.4f} | {points}"
            f" | {each.loss.mean():.4f} | {loss} |"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
