"""Labels: how a value is spelled, which class it stands for, and what is said if that is open."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.errors import UserError

MOST_CLASSES = 50
DROP = "drop"  # in the place of a class: rows with these labels are left out
MOST_VALUES = 100  # that a column of labels may have
SHOWN = 20  # values in a message
_USUAL = _NEGATIVE, _NEUTRAL, _POSITIVE = "negative", "neutral", "positive"
_WORDS = {
    **dict.fromkeys(("negative", "neg", "false", "f", "no", "n"), _NEGATIVE),
    **dict.fromkeys(("neutral", "neu"), _NEUTRAL),
    **dict.fromkeys(("positive", "pos", "true", "t", "yes", "y"), _POSITIVE),
}
_BOOLEANS = {False: ("false", "no", "off"), True: ("true", "yes", "on")}
# the numbers that a column holds decide what a number stands for
_SCALES: tuple[tuple[str, dict[int, str]], ...] = (
    ("0 and 1", {0: _NEGATIVE, 1: _POSITIVE}),
    ("-1 and 1", {-1: _NEGATIVE, 1: _POSITIVE}),
    ("-1 to 1", {-1: _NEGATIVE, 0: _NEUTRAL, 1: _POSITIVE}),
    ("0 and 4", {0: _NEGATIVE, 4: _POSITIVE}),
    ("0, 2 and 4", {0: _NEGATIVE, 2: _NEUTRAL, 4: _POSITIVE}),
)
_NUMBER = re.compile(r"\+?(-?[0-9]+)(?:\.0*)?(?: stars?)?")
_ALONE = ("0 and 1", "-1 and 1")  # known from one number; a 4 may be of stars
_STARS = {1: _NEGATIVE, 2: _NEGATIVE, 3: _NEUTRAL, 4: _POSITIVE, 5: _POSITIVE}


def spelling(value: Any) -> str:
    """Return the text that a label is counted by: ``1``, ``1.0`` and ``1 star`` are one label.

    A missing label is the empty text.
    """
    if value is None:
        return ""
    text = str(value).strip().casefold()
    if number := _NUMBER.fullmatch(text):
        return str(int(number[1]))
    return "" if text == "nan" and not isinstance(value, str) else text


@dataclass
class Values:
    """The values of the label column, numbered in the order in which they were seen."""

    address: str
    places: dict[str, str] = field(default_factory=dict)  # where each value was seen first
    spelled: dict[str, str] = field(default_factory=dict)  # and how it was spelled there
    counts: list[int] = field(default_factory=list)
    _codes: dict[Any, int] = field(default_factory=dict)

    def code(self, value: Any, address: str, unit: str, number: int) -> int:
        """Return the number of a value and count it; the rest says where it was seen.

        Raises:
            UserError: there are more values than a column of labels has.
        """
        key = (type(value), value if value.__hash__ else str(value))
        code = self._codes.get(key)
        if code is None:
            text = spelling(value)
            code = list(self.places).index(text) if text in self.places else len(self.places)
            if code == len(self.places):
                if code == MOST_VALUES:
                    some = ", ".join(map(_quoted, list(self.places)[:3]))
                    raise UserError(
                        f"{address}: {unit} {number}: more than {MOST_VALUES} different labels,"
                        f" such as {some}; see --label-column"
                    )
                self.places[text] = f"{address}, {unit} {number}"
                self.spelled[text] = str(value).strip()
                self.counts.append(0)
            self._codes[key] = code
        self.counts[code] += 1
        return code

    def listed(self) -> str:
        """Return the values with their counts, the most frequent first."""
        ordered = sorted(zip(self.places, self.counts, strict=True), key=lambda each: -each[1])
        shown = [f"{_quoted(text)} {count}" for text, count in ordered[:SHOWN]]
        return ", ".join(shown) + (" …" if len(ordered) > SHOWN else "")


def mapping(given: Mapping[str, Iterable[Any]]) -> dict[str, str]:
    """Return the class, or ``drop``, of each value that the parameter ``labels`` names.

    Raises:
        UserError: a value stands twice, or there are too many classes.
    """
    found: dict[str, str] = {}
    for name, values in given.items():
        for value in values:
            # YAML reads yes and no as true and false
            spellings = _BOOLEANS[value] if isinstance(value, bool) else (spelling(value),)
            for text in spellings:
                if found.setdefault(text, name) != name:
                    both = f"{found[text]} and {name}"
                    raise UserError(f"ingest.labels: {_quoted(text)} is in {both}")
    check_names([name for name in given if name != DROP])
    return found


def check_names(classes: Sequence[str]) -> None:
    """Check the names of all classes.

    Raises:
        UserError: there are too many, one cannot be read, or two differ in case alone.
    """
    if len(classes) > MOST_CLASSES:
        raise UserError(f"ingest.labels: {len(classes)} classes; {MOST_CLASSES} are possible")
    seen: dict[str, str] = {}
    for name in classes:
        if not name or name != name.strip() or not name.isprintable():
            raise UserError(f"ingest.labels: {name!r} is no name of a class")
        if (other := seen.setdefault(name.casefold(), name)) != name:
            raise UserError(f"ingest.labels: {other} and {name} differ in case alone")


def decide(
    values: Values, given: Mapping[str, Iterable[Any]]
) -> tuple[dict[str, str], list[str], str]:
    """Return the class, or ``drop``, of each value; the classes in order; and a line that says so.

    Without ``given``, usual spellings have their classes, and words of which none is usual are
    classes themselves. Negative, neutral and positive have this order, and other classes that of
    ``given`` or of the alphabet.

    Raises:
        UserError: a value has no class, and the message has all values, their counts and a mapping;
            or there are too many classes.
    """
    if given:
        named, scale = mapping(given), ""
    else:
        named, scale = _recognised(list(values.places))
    if not named and _are_names(values.places):
        named = {text: values.spelled[text] for text in sorted(values.places)}
        scale = " (as they are spelled)"
    unknown = [text for text in values.places if text not in named]
    if not named and len(unknown) > MOST_CLASSES:
        raise UserError(
            f"{values.address}: {len(unknown)} different labels; {MOST_CLASSES} classes are"
            f" possible: {values.listed()}; set ingest.labels, with several labels in a class"
        )
    if unknown:
        places = ", ".join(
            f"{_quoted(text)} (first: {values.places[text]})" for text in unknown[:3]
        )
        raise UserError(
            f"{values.address}: labels that are of no class: {places}; all labels:"
            f" {values.listed()}; set in params.yaml, section ingest, with each label in its class,"
            f" {_paste(values.places, named)}"
        )
    used = {text: named[text] for text in values.places}
    names = given or dict.fromkeys(named.values())
    classes = in_order(name for name in names if name in used.values() and name != DROP)
    said = "; ".join(
        f"{name}: {', '.join(_quoted(text) for text in used if used[text] == name)}"
        for name in (*classes, DROP)
        if name in used.values()
    )
    return used, classes, said + scale


def in_order(names: Iterable[str]) -> list[str]:
    """Return the names without repetition, those of the usual classes in their order.

    Positive alone has negative beside it, so that its label does not depend on the other rows.
    """
    found = list(dict.fromkeys(names))
    if set(found) <= {_NEGATIVE, _POSITIVE}:
        return [_NEGATIVE, _POSITIVE]
    return sorted(found, key=_USUAL.index) if set(found) <= {*_USUAL} else found


def _are_names(values: Iterable[str]) -> bool:
    """Return whether values can be the names of classes: words, and not too many."""
    found = list(values)
    named = [text for text in found if any(map(str.isalpha, text)) and not _NUMBER.fullmatch(text)]
    return len(named) == len(found) <= MOST_CLASSES and DROP not in found


def _recognised(values: list[str]) -> tuple[dict[str, str], str]:
    """Return the classes of the values whose spelling is usual, and the name of their scale."""
    named = {text: _WORDS[text] for text in values if text in _WORDS}
    numbers = {int(text) for text in values if text.removeprefix("-").isdecimal()}
    for name, scale in _SCALES:
        ends = {min(scale), max(scale)}
        if numbers and numbers <= scale.keys() and (ends <= numbers or name in _ALONE):
            return named | {str(number): scale[number] for number in numbers}, f" (scale {name})"
    if numbers and numbers <= _STARS.keys() and {min(numbers), max(numbers)} == {1, 5}:
        return named | {str(number): _STARS[number] for number in numbers}, " (stars, 1 to 5)"
    return named, ""


def is_usual(value: str) -> bool:
    """Return whether a value alone looks like a label: a usual word, or a number of a scale."""
    text = spelling(value)
    return text in _WORDS or text in {"-1", "0", "1", "2", "3", "4", "5"}


def _paste(values: Iterable[str], named: Mapping[str, str]) -> str:
    """Return a mapping for ``params.yaml`` of the first values, as a proposal."""
    numbers = sorted(int(text) for text in values if text.removeprefix("-").isdecimal())
    middle = (numbers[0] + numbers[-1]) / 2 if numbers else 0.0
    proposed: dict[str, list[Any]] = {name: [] for name in (*_USUAL, DROP)}
    for text in list(values)[:SHOWN]:
        name = named.get(text, DROP)
        value: Any = text
        if text.removeprefix("-").isdecimal():
            value = int(text)
            if text not in named:
                name = _USUAL[1 + (value > middle) - (value < middle)]
        proposed[name].append(value)
    # JSON is YAML on one line
    lists = ", ".join(
        f"{name}: {json.dumps(values, ensure_ascii=False)}"
        for name, values in proposed.items()
        if values or name in (_NEGATIVE, _POSITIVE)
    )
    return f"labels: {{{lists}}}"


def _quoted(text: str) -> str:
    return repr(text[:40] + "…" if len(text) > 40 else text)
