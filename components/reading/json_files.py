"""JSON Lines, and arrays of objects; both are read an object at a time."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from components.errors import UserError
from components.io.reviews import BATCH_ROWS
from components.reading import encodings
from components.reading.batches import Batch
from components.reading.options import SHOWN_NAMES, Options, wanted_columns

CHUNK = 1 << 16  # characters
LONGEST_ITEM = 1 << 26  # characters; it bounds what a broken item can hold in memory
_BLANKS = " \t\r\n"
_MISSING = object()


def read(path: Path, options: Options, address: str) -> Iterator[Batch]:
    """Yield the rows of a JSON file. ``data.text`` names a field of a nested object.

    A row may lack a field, but not all rows of the first batch.

    Raises:
        UserError: the file is not JSON, or no row has one of the fields.
    """
    encoding = encodings.detect(path, options.encoding, address)
    with encodings.opened(path, encoding, address) as file:
        is_array = file.read(CHUNK).lstrip(_BLANKS).startswith("[")
        file.seek(0)
        unit = "item" if is_array else "line"
        items = _array(file, address) if is_array else _lines(file, address)
        rows = _objects(items, f"{address}: {unit}")
        first = True
        while part := [*islice(rows, BATCH_ROWS)]:
            if first:
                _check_fields([row for _, row in part], options, address)
                first = False
            yield Batch(
                [_text(row, options.text_column, f"{address}: {unit} {n}") for n, row in part],
                [_single(row, options.label_column, f"{address}: {unit} {n}") for n, row in part],
                [_single(row, options.group_column, f"{address}: {unit} {n}") for n, row in part],
                [number for number, _ in part],
                unit,
            )


def _objects(items: Iterator[tuple[int, Any]], where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, item in items:
        if not isinstance(item, dict):
            raise UserError(f"{where} {number}: not a JSON object")
        yield number, item


def _check_fields(rows: list[dict[str, Any]], options: Options, address: str) -> None:
    for flag, name in wanted_columns(options).items():
        if all(_field(row, name) is _MISSING for row in rows):
            found = ", ".join([*dict.fromkeys(key for row in rows for key in row)][:SHOWN_NAMES])
            raise UserError(f"{address}: no column {name!r} among ({found}); see {flag}")


def _text(row: dict[str, Any], name: str, where: str) -> str | None:
    text = _value(row, name)
    if text is not None and not isinstance(text, str):
        raise UserError(f"{where}: text is a {type(text).__name__}, not a string")
    return text


def _single(row: dict[str, Any], name: str, where: str) -> Any:
    """Return the value of a field that has one value, None without a name of the field."""
    value = _value(row, name) if name else None
    if isinstance(value, list | dict):
        kind = "list" if isinstance(value, list) else "object"
        raise UserError(f"{where}: {name} is a {kind}, not one value")
    return value


def _value(row: dict[str, Any], name: str) -> Any:
    """Return a field, None if it is missing; pandas writes a missing value as NaN."""
    value = _field(row, name)
    return None if value is _MISSING or value != value else value


def _field(row: dict[str, Any], name: str) -> Any:
    if name in row:
        return row[name]
    outer, dot, inner = name.partition(".")
    nested = row.get(outer)
    return _field(nested, inner) if dot and isinstance(nested, dict) else _MISSING


def _lines(file: TextIO, address: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(
                    f"{address}: line {number}: not JSON ({error}); a JSON file has an object on"
                    " each line, or is one array [ … ] of objects"
                ) from error
            yield number, value


def _array(file: TextIO, address: str) -> Iterator[tuple[int, Any]]:
    buffer = _Buffer(file)
    buffer.skip()  # the bracket
    number = 0
    while buffer.next() != "]":
        number += 1
        try:
            item = buffer.item()
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise UserError(
                f"{address}: item {number} of the array: not JSON, or the file is cut ({reason})"
            ) from error
        yield number, item
        if buffer.next() == ",":
            buffer.skip()
        elif buffer.next() != "]":
            raise UserError(
                f"{address}: no comma or bracket after item {number} of the array;"
                " the file may be cut"
            )
    buffer.skip()
    if buffer.next():
        raise UserError(f"{address}: there is more after the array of {number} items")


class _Buffer:
    """The part of a file of JSON that is looked at: no more than an item and a chunk."""

    def __init__(self, file: TextIO):
        self._file, self._text, self._at, self._ended = file, "", 0, False

    def next(self) -> str:
        """Return the next character that is not blank, or "" at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _BLANKS:
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._fill()

    def skip(self) -> None:
        """Go past the next character that is not blank."""
        self.next()
        self._at += 1

    def item(self) -> Any:
        """Return the next value.

        Raises:
            ValueError: it is not JSON, or the file ends in it.
        """
        while True:
            try:
                value, self._at = _DECODER.raw_decode(self._text, self._at)
            except ValueError:
                if self._ended or len(self._text) - self._at > LONGEST_ITEM:
                    raise
                self._fill()
            else:
                return value

    def _fill(self) -> None:
        rest = self._text[self._at :]
        more = self._file.read(max(CHUNK, len(rest)))
        self._text, self._at, self._ended = rest + more, 0, not more


_DECODER = json.JSONDecoder()
