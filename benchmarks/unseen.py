"""Find texts in languages that a model has not seen, for models of several sizes.

The texts are messages of programs and their translations, from the gettext catalogs of this
machine (Debian's packages have those of about a hundred languages): languages that no review is
in, and English about other things. Needs ``data/`` from ``make train``.
"""

import argparse
import gettext
import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline

import sentiment.model
from components.io import reviews
from sentiment import drift, unseen

CATALOGS = Path("/usr/share/locale")
SIZES = (100, 300, 1_000, 4_000, 20_000)  # training reviews
LEAST_WORDS = 6  # of a message in English
LEAST_MESSAGES = 150  # of a language
_PLACES = re.compile(
    r"%[-\d.]*l?[a-z%]|--?[a-zA-Z][-\w]*=?|[`'\"][^`'\"]*['\"]"
)  # left as they are
_TRANSLATED = re.compile(r"(?!en\b|en_)[^@]+")  # no other spelling, no second script
Statistics = tuple[np.ndarray, np.ndarray]


def messages(catalogs: Path, most: int) -> dict[str, list[str]]:
    """Return the messages of each language, at most ``most``; those in English are in ``en``."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for path in sorted(catalogs.glob("*/LC_MESSAGES/*.mo")):
        language = path.parts[-3]
        if not _TRANSLATED.fullmatch(language):
            continue
        try:
            with path.open("rb") as file:
                pairs = gettext.GNUTranslations(file)._catalog.items()  # type: ignore[attr-defined]
        except (UnicodeDecodeError, IndexError):  # a few old catalogs have no proper head
            continue
        for key, translation in pairs:
            original = key.rpartition("\x04")[2] if isinstance(key, str) else ""
            if original != translation and len(_PLACES.sub(" ", original).split()) >= LEAST_WORDS:
                found["en"][original] = _PLACES.sub(" ", original)
                found[language][original] = _PLACES.sub(" ", translation)
    draw = random.Random(0)  # noqa: S311
    return {
        language: draw.sample([*texts.values()], min(most, len(texts)))
        for language, texts in found.items()
        if len(texts) >= LEAST_MESSAGES
    }


def count(model: Pipeline, texts: Sequence[str]) -> Statistics:
    """Return the number of tokens of each text, and the share of unknown ones."""
    found = drift.describe(model, texts, np.zeros((len(texts), 2)))
    return found["length"], found["unknown"]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unseen", description=__doc__)
    parser.add_argument("--messages", type=int, default=300, help="of a language; default: 300")
    args = parser.parse_args(argv)
    train, test = (reviews.read(Path("data", part)) for part in ("train", "test"))
    train = train.sample(frac=1, random_state=0)
    languages = messages(CATALOGS, args.messages)
    english = languages.pop("en")
    print(f"{len(languages)} languages\n")
    print("| training reviews | limit | rule | test reviews | English messages | others | lowest |")
    print("|---|---|---|---|---|---|---|")
    for size in SIZES:
        rows = train[:size]
        model = sentiment.model.build().fit(rows["text"], rows["label"].to_numpy())
        tested = count(model, test["text"][: max(50, size // 4)].tolist())
        counted = {name: count(model, texts) for name, texts in languages.items()}
        limit = unseen.limit(*tested)

        def own(texts: Statistics, limit: float = limit) -> float:
            pairs = zip(*texts, strict=True)
            return float(np.mean([unseen.is_above(limit, n, round(n * u)) for n, u in pairs]))

        def half(texts: Statistics) -> float:
            return float((texts[1] > 0.5).mean())

        rules: dict[str, Callable[[Statistics], float]] = {"its own limit": own, "half": half}
        for name, rule in rules.items():
            shares = sorted((rule(texts), language) for language, texts in counted.items())
            lowest = ", ".join(f"{language} {share:.2f}" for share, language in shares[:3])
            print(
                f"| {len(rows):,} | {limit:.3f} | {name} | {rule(tested):.3f} |"
                f" {rule(count(model, english)):.3f} |"
                f" {np.mean([share for share, _ in shares]):.3f} | {lowest} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
