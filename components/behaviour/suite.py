"""A suite of behaviour: what a user takes for granted of a model, as cases in a YAML file.

After Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList":
a text has an obvious label, or an edit must not change the probability, or must change it in one
direction. The file looks so::

    language: de
    classes: [negative, positive]
    texts:
      positive: [Ein wunderbarer Film.]
      negative: [Ein furchtbarer Film.]
    cases:
      - capability: negation
        texts: ["Das ist {word}.", "Das ist nicht {word}."]
        fill: {word: [gut, schön]}
        expect: {lower: positive}
      - capability: casing
        texts: ["{text}", "{text:upper}"]
        expect: {steady: "{class}"}
"""

import hashlib
import json
import math
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import pydantic.dataclasses
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, field_validator, model_validator

from components.io import records
from components.report.languages import NAMES, UNDETERMINED

SHIFT = 0.1  # by which an edit that must not change a probability, or not lower it, may do so
MOST_CASES = 20_000
MOST_TIMES = 10_000
_OWN_CLASS = "{class}"
_COMPARING = ("steady", "higher", "lower", "not_higher", "not_lower")
_OWN = ("text", "class")  # names that fill may not define
_PLACE = re.compile(r"\{(\w+)(?::([^{}]*))?\}")
_TIMES = re.compile(r"(\d+) times")
_EDITS: dict[str, Callable[[str], str]] = {
    "upper": str.upper,
    "lower": str.lower,
    "title": str.title,
    "breaks": lambda text: text.replace(". ", ".<br /><br />"),
    "typo": lambda text: _typo(text),
}
Class = TypeVar("Class")


@typing.dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def _part(cls: type[Class]) -> type[Class]:
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    made: Any = pydantic.dataclasses.dataclass(frozen=True, config=config)(cls)
    return made


@_part
class Expectation:
    """What a case expects; all that are given must hold.

    ``right``: each text's most probable class, or one for each text. ``steady``: the same, and the
    probability of the class differs by at most ``SHIFT`` from that of the first text; closeness
    alone would not do, as a model that knows nothing always gives the same probability.
    ``higher``, ``lower``: the class is more, or less, probable for the last text than for the
    first. ``not_higher``, ``not_lower``: the same, but by at most ``SHIFT``, as the probability of
    a class that is nearly certain cannot grow. ``not``: the class has less than half of the
    probability for the last text. ``between``: bounds of the probability of a class, for each text.
    """

    right: str | tuple[str, ...] | None = None
    steady: str | None = None
    higher: str | None = None
    lower: str | None = None
    not_higher: str | None = None
    not_lower: str | None = None
    excluded: str | None = Field(default=None, alias="not")
    between: dict[str, tuple[float, float]] = Field(default_factory=dict)

    def named(self) -> list[tuple[str, str]]:
        """Return each expectation: its word in the file, and the class that it names."""
        right = (self.right,) if isinstance(self.right, str) else self.right or ()
        words = [
            ("steady", self.steady),
            ("higher", self.higher),
            ("lower", self.lower),
            ("not_higher", self.not_higher),
            ("not_lower", self.not_lower),
            ("not", self.excluded),
        ]
        found = [("right", name) for name in right]
        found += [(word, name) for word, name in words if name is not None]
        return found + [("between", name) for name in self.between]


@_part
class Block:
    """Cases of one capability: texts with places, which each combination of ``fill`` fills."""

    capability: str = Field(min_length=1)
    texts: tuple[str, ...] = Field(min_length=1)
    expect: Expectation = Field()
    fill: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    def places(self) -> set[str]:
        return {match[1] for text in self.texts for match in _PLACE.finditer(text)}

    @model_validator(mode="after")
    def _check(self) -> Self:
        expected = self.expect.named()
        if not expected:
            raise ValueError("expect: names no expectation: right, steady, higher, lower, not …")
        if unknown := self.places() - self.fill.keys() - {"text"}:
            raise ValueError(f"texts: fill has no {min(unknown)!r}")
        if unused := self.fill.keys() - self.places():
            raise ValueError(f"fill: no text has a place {{{min(unused)}}}")
        if reserved := self.fill.keys() & {*_OWN}:
            raise ValueError(f"fill: {min(reserved)!r} has a meaning of its own; take another name")
        for text in self.texts:
            for _, edit in _PLACE.findall(text):
                _edit(edit, "")
        for word, _ in expected:
            if word in _COMPARING and len(self.texts) < 2:
                raise ValueError(f"expect: {word} compares texts, and there is only one")
        if isinstance(self.expect.right, tuple) and len(self.expect.right) != len(self.texts):
            number = len(self.expect.right)
            raise ValueError(f"expect: right: {number} classes for {len(self.texts)} texts")
        for low, high in self.expect.between.values():
            if not 0 <= low < high <= 1:
                raise ValueError(f"expect: between: {low:g} and {high:g} are no bounds from 0 to 1")
        if any(name == _OWN_CLASS for _, name in expected) and "text" not in self.places():
            raise ValueError("expect: {class} is the class of {text}, and no text has that place")
        return self


class Case(NamedTuple):
    """Texts, and what is expected of their probabilities; places are filled."""

    capability: str
    texts: tuple[str, ...]
    expect: Expectation
    own: str  # the class that {class} stands for

    def expected_class(self, name: str) -> str:
        """Return the class that an expectation names, or that ``{class}`` stands for."""
        return self.own if name == _OWN_CLASS else name

    def right_classes(self) -> tuple[str, ...]:
        """Return the class of each text, () if the texts need not be of any."""
        right = self.expect.right
        if right is None:
            return ()
        names = (right,) * len(self.texts) if isinstance(right, str) else right
        return tuple(map(self.expected_class, names))

    def passes(self, p: NDArray[np.float64], classes: Sequence[str]) -> bool:
        """Tell whether the probabilities are as expected; ``p`` has the shape (texts, classes)."""
        found = [classes[label] for label in p.argmax(axis=1)[: len(self.right_classes())]]
        return found == [*self.right_classes()] and all(
            self._is_met(word, name, p, classes.index(self.expected_class(name)))
            for word, name in self.expect.named()
            if word != "right"
        )

    def _is_met(self, word: str, name: str, p: NDArray[np.float64], column: int) -> bool:
        each = p[:, column]
        change = each[-1] - each[0]
        match word:
            case "steady":
                right = (p.argmax(axis=1) == column).all()
                return bool(right and (abs(each - each[0]) <= SHIFT).all())
            case "higher":
                return bool(change > 0)
            case "lower":
                return bool(change < 0)
            case "not_higher":
                return bool(change <= SHIFT)
            case "not_lower":
                return bool(change >= -SHIFT)
            case "not":
                return bool(each[-1] < 0.5)
            case _:
                low, high = self.expect.between[name]
                return bool(((low < each) & (each < high)).all())


@_part
class Suite:
    """The cases of one language and of the classes that they name."""

    language: str
    classes: tuple[str, ...] = Field(min_length=2)
    cases: tuple[Block, ...] = Field(min_length=1)
    texts: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @field_validator("language")
    @classmethod
    def _known(cls, code: str) -> str:
        if code not in NAMES or code == UNDETERMINED:
            raise ValueError(f"{code!r} is not the code of a language that is detected, such as en")
        return code

    @model_validator(mode="after")
    def _check(self) -> Self:
        def require(name: str, where: str) -> None:
            if name not in self.classes:
                raise ValueError(f"{where}: {name!r} is none of classes: {', '.join(self.classes)}")

        for name in self.texts:
            require(name, "texts")
        for number, block in enumerate(self.cases, 1):
            where = f"case {number}"
            for word, name in block.expect.named():
                if name != _OWN_CLASS:
                    require(name, f"{where}: expect: {word}")
            if "text" in block.places() and not any(self.texts.values()):
                raise ValueError(f"{where}: texts: the suite has no texts for the place {{text}}")
        if (count := sum(map(self._count, self.cases))) > MOST_CASES:
            raise ValueError(f"cases: they make {count}, and {MOST_CASES} are the most")
        return self

    def _count(self, block: Block) -> int:
        own = sum(map(len, self.texts.values())) if "text" in block.places() else 1
        return own * math.prod(map(len, block.fill.values()))

    def each_case(self) -> Iterator[Case]:
        """Yield the cases of all blocks, in an order that is always the same."""
        own = [{"text": text, "class": name} for name in self.texts for text in self.texts[name]]
        for block in self.cases:
            choices = [own] if "text" in block.places() else []
            choices += [[{name: value} for value in block.fill[name]] for name in block.fill]
            for chosen in product(*choices):
                values = {name: value for each in chosen for name, value in each.items()}
                texts = tuple(_filled(text, values) for text in block.texts)
                yield Case(block.capability, texts, block.expect, values.get("class", ""))

    def digest(self) -> str:
        """Return the SHA-256 of what the file says; comments and layout do not count."""
        text = json.dumps(records.plain(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda match: _edit(match[2], values[match[1]]), text)


def _typo(text: str) -> str:
    """Swap the two letters in the middle of the longest word, the first of several."""
    words = re.findall(r"\w+", text)
    if not words or len(longest := max(words, key=len)) < 2:
        return text
    at = len(longest) // 2
    return text.replace(
        longest, longest[: at - 1] + longest[at] + longest[at - 1] + longest[at + 1 :], 1
    )


def _edit(edit: str | None, text: str) -> str:
    """Return the edited text.

    Raises:
        ValueError: there is no such edit.
    """
    if not edit:
        return text
    if edit in _EDITS:
        return _EDITS[edit](text)
    times = _TIMES.fullmatch(edit)
    if times is None or int(times[1]) > MOST_TIMES:
        edits = f"{', '.join(_EDITS)} or 'N times', N up to {MOST_TIMES}"
        raise ValueError(f"texts: {edit!r} is no edit; there are {edits}")
    return " ".join([text] * int(times[1]))
