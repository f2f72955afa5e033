"""Test a model's behaviour on cases that a user takes for granted.

After Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList":
a text has an obvious label, or an edit must not change the probability, or must change it in one
direction.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, product
from typing import Any, NamedTuple

from sklearn.pipeline import Pipeline

from sentiment.model import LABELS, class_names, probabilities

POSITIVE = (
    "A wonderful film with a clever script. I loved every minute of it.",
    "The acting is superb and the ending moved me. Highly recommended.",
    "Funny, warm and beautifully shot. One of the best films of the year.",
    "An excellent story, brilliantly told. I will gladly see it again.",
    "A great cast and a touching, honest performance by the lead. A gem.",
    "I enjoyed this far more than I expected. Charming, fresh and very well made.",
)
NEGATIVE = (
    "A terrible film with a stupid script. I hated every minute of it.",
    "The acting is awful and the ending made no sense. Avoid it.",
    "Dull, lifeless and badly shot. One of the worst films of the year.",
    "A boring story, poorly told. I will never see it again.",
    "A wasted cast and a wooden, annoying performance by the lead. A mess.",
    "I enjoyed this far less than I expected. Predictable, lazy and a waste of time.",
)
LABELLED = [*((text, True) for text in POSITIVE), *((text, False) for text in NEGATIVE)]
GOOD = ("good", "funny", "great", "interesting", "convincing", "enjoyable")
BAD = ("bad", "boring", "terrible", "annoying", "predictable", "stupid")
SUBJECTS = ("The film", "The acting", "The story", "This movie")
NEUTRAL = (
    "I saw it on a Tuesday.",
    "It runs for about ninety minutes.",
    "We watched it at home with my brother.",
    "It was released in the autumn.",
)
NAMES = (("Maria", "London"), ("Ahmed", "Cairo"), ("Wei", "Shanghai"), ("Olga", "Moscow"))
SHIFT = 0.1  # the largest change of the probability by an edit without sentiment
_EXAMPLES = 3  # failures kept for each capability
EMPTY = ("", " ", "\n\t", "...", "<br />", "12345")


class Case(NamedTuple):
    """Texts, and a check of their probabilities of *positive*."""

    capability: str
    texts: tuple[str, ...]
    passes: Callable[..., bool]


def cases() -> Iterator[Case]:
    """Yield all cases of all capabilities."""
    yield from _negation()
    yield from _intensifiers()
    for text, label in LABELLED:
        right, steady = partial(_is_right, label), partial(_is_steady, label)
        for sentence in NEUTRAL:
            yield Case("neutral edits", (text, f"{text} {sentence}"), steady)
        for typo in _typos(text):
            yield Case("typos", (typo,), right)
        for change in (str.upper, str.lower, str.title):
            yield Case("casing", (text, change(text)), steady)
        for name, city in NAMES:
            named = f"{name} told me about it in {city}. {text}"
            yield Case("names", (f"Somebody told me about it. {text}", named), steady)
        for times in (2, 5):
            yield Case("length", (" ".join([text] * times),), right)
        html = f"<p><b>{text.replace('. ', '.<br /><br />')}</b></p>"
        yield Case("HTML", (text, html), steady)
        for emoji in ("🎬", "🍿🍿", "👀"):
            yield Case("emoji", (text, f"{text} {emoji}"), steady)
        yield Case("very long", (f"{text} " * 2000,), right)
    for text in EMPTY:
        yield Case("empty", (text,), lambda p: 0.05 < p < 0.95)


def fits(model: Pipeline) -> bool:
    """Return whether the classes of a model are those of the cases."""
    return class_names(model) == LABELS


def answers(model: Pipeline) -> Iterator[tuple[Case, list[float]]]:
    """Yield each case with the model's probability of *positive* for each of its texts."""
    suite = list(cases())
    p = probabilities(model, chain.from_iterable(case.texts for case in suite))
    positive = iter(p[:, LABELS.index("positive")].tolist())
    for case in suite:
        yield case, [next(positive) for _ in case.texts]


def run(model: Pipeline) -> list[dict[str, Any]]:
    """Return for each capability the numbers of cases and of passed cases, and some failures.

    A model of other classes has none.
    """
    results: dict[str, dict[str, Any]] = {}
    for case, p in answers(model) if fits(model) else ():
        none: dict[str, Any] = {"cases": 0, "passed": 0, "failures": []}
        result = results.setdefault(case.capability, {"capability": case.capability} | none)
        result["cases"] += 1
        if case.passes(*p):
            result["passed"] += 1
        elif len(result["failures"]) < _EXAMPLES:
            shown = zip(case.texts, p, strict=True)
            result["failures"].append([[text[:200], round(answer, 4)] for text, answer in shown])
    return list(results.values())


def _negation() -> Iterator[Case]:
    for subject, word in product(SUBJECTS, GOOD):
        plain, negated = f"{subject} is {word}.", f"{subject} is not {word}."
        yield Case("negation", (plain, negated), lambda p, q: q < 0.5 and q < p)
    for subject, word in product(SUBJECTS, BAD):
        plain, negated = f"{subject} is {word}.", f"{subject} is not {word} at all."
        yield Case("negation", (plain, negated), lambda p, q: q > p)


def _intensifiers() -> Iterator[Case]:
    for subject, word in product(SUBJECTS, GOOD):
        texts = (f"{subject} is slightly {word}.", f"{subject} is very {word}.")
        yield Case("intensifiers", texts, lambda weak, strong: weak < strong)
    for subject, word in product(SUBJECTS, BAD):
        texts = (f"{subject} is slightly {word}.", f"{subject} is very {word}.")
        yield Case("intensifiers", texts, lambda weak, strong: strong < weak)


def _typos(text: str) -> Iterator[str]:
    """Yield the text with two letters swapped in its second, fourth and sixth long word."""
    words = text.split()
    long = [position for position, word in enumerate(words) if len(word) > 4]
    for position in long[1:6:2]:
        word = words[position]
        swapped = word[:2] + word[3] + word[2] + word[4:]
        yield " ".join([*words[:position], swapped, *words[position + 1 :]])


def _is_right(label: bool, p: float) -> bool:
    return (p > 0.5) == label


def _is_steady(label: bool, before: float, after: float) -> bool:
    """Tell whether both probabilities are right and close.

    Closeness alone would not do: a model that knows nothing always gives the same probability.
    """
    return _is_right(label, before) and _is_right(label, after) and abs(before - after) <= SHIFT
