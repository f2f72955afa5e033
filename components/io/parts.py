"""A part of a stage's work, such as 1/2, for tasks that share it."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import AfterValidator

Item = TypeVar("Item")


def _checked(text: str) -> str:
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise ValueError(f"{text!r} is not a part such as 1/2")
    return text


PartText = Annotated[str, AfterValidator(_checked)]


def take(part: str, items: Sequence[Item]) -> list[Item]:
    """Return every n-th item from the i-th on for the part ``i/n``; none if there are too few."""
    number, _, of = part.partition("/")
    return list(items[int(number) - 1 :: int(of)])
