"""Remarks on products in three classes, made by rule: to try the system with more than two classes.

They are no sample of what people write, and a model of them is of no use beyond that.
"""

import random
from collections.abc import Iterator

from components.reading.batches import Labelled

ROWS = 3_000
_THINGS = ("kettle", "rucksack", "lamp", "keyboard", "raincoat", "desk", "speaker", "tent")
_PARTS = ("handle", "zip", "cable", "manual", "box", "colour", "surface", "battery")
_WORDS = {
    "negative": ("broke", "disappointing", "useless", "flimsy", "a waste of money", "awful"),
    "neutral": ("arrived on Monday", "is grey", "weighs two kilos", "as described", "average"),
    "positive": ("sturdy", "a pleasure to use", "excellent", "worth every cent", "lovely"),
}
_FRAMES = (
    "The {thing}: {first}. The {part} {second}.",
    "Bought the {thing} in spring. {second}, and the {part} is {first}.",
    "{first}. I use the {thing} every day, the {part} too, and it is {second}.",
    "My sister asked about the {part} of this {thing}. I would say {first}, {second}.",
)
_OTHER = 0.15  # how often the second opinion is of another class


def read() -> Iterator[Labelled]:
    """Yield the remarks, always the same."""
    # not for cryptography
    draw = random.Random(0)  # noqa: S311
    names = list(_WORDS)
    for number in range(1, ROWS + 1):
        label = names[number % len(names)]
        other = draw.choice(names) if draw.random() < _OTHER else label
        text = draw.choice(_FRAMES).format(
            thing=draw.choice(_THINGS),
            part=draw.choice(_PARTS),
            first=draw.choice(_WORDS[label]),
            second=draw.choice(_WORDS[other]),
        )
        yield Labelled(number, f"{text} No. {number}.", label)
