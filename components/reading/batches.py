"""Batches of labelled texts, as every reader yields them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from components.io.reviews import BATCH_ROWS


@dataclass(frozen=True)
class Batch:
    """Texts, labels and groups as the file has them; ``numbers`` count in ``unit`` from 1.

    A group is None where there is no column of groups.
    """

    texts: list[str | None]
    labels: list[Any]
    groups: list[Any]
    numbers: list[int]
    unit: str


class Labelled(NamedTuple):
    number: int
    text: str | None
    label: Any
    group: Any = None


def batched(rows: Iterable[Labelled], unit: str) -> Iterator[Batch]:
    """Yield rows in batches."""
    remaining = iter(rows)
    while part := list(islice(remaining, BATCH_ROWS)):
        numbers, texts, labels, groups = map(list, zip(*part, strict=True))
        yield Batch(texts, labels, groups, numbers, unit)
