"""Batches of labelled texts, as every reader yields them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from components.io.reviews import BATCH_ROWS


@dataclass(frozen=True)
class Batch:
    """Texts and their labels as the file has them; ``numbers`` count in ``unit`` from 1."""

    texts: list[str | None]
    labels: list[Any]
    numbers: list[int]
    unit: str


def batched(rows: Iterable[tuple[int, str | None, Any]], unit: str) -> Iterator[Batch]:
    """Yield rows, each a number, a text and a label, in batches."""
    remaining = iter(rows)
    while part := list(islice(remaining, BATCH_ROWS)):
        numbers, texts, labels = zip(*part, strict=True)
        yield Batch(list(texts), list(labels), list(numbers), unit)
