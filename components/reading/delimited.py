"""Files of CSV: the dialect, the header and the columns are detected, then the rows are read."""

import itertools
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from components.errors import UserError
from components.reading import dialects, encodings, labels
from components.reading.batches import Batch, Labelled, batched
from components.reading.dialects import Dialect, Row
from components.reading.options import AUTO, Options, require_columns, wanted_columns

SEPARATORS = (",", ";", "\t", "|")
NAMED = {"tab": "\t"}
SAMPLE_ROWS = 100
_CLEARLY_LONGER = 1.5  # texts than the cells of any other column, to be found without a name

log = logging.getLogger("ingest")


@dataclass(frozen=True)
class Layout:
    """The places of the columns, and the number of rows before the first review.

    ``group`` is None without a column of groups; ``said`` tells what was found without a name.
    """

    text: int
    label: int
    group: int | None
    skipped: int
    said: str = ""


def read(path: Path, options: Options, address: str, dropped: Counter[str]) -> Iterator[Batch]:
    """Yield the rows of a file of CSV, and count in ``dropped`` the rows that are damaged.

    Raises:
        UserError: no dialect fits, a column is missing, or the encoding is another.
    """
    encoding = encodings.detect(path, options.encoding, address)
    dialect, layout = choose(path, encoding, options, address)
    log.info("%s: CSV, encoding %s, %s%s", address, encoding, dialect, layout.said)
    letters = encodings.Letters(path, encoding, address)
    with encodings.opened(path, encoding, address) as file:
        rows = _checked(file, dialect, layout, options)
        for batch in batched(_reviews(rows, layout, options, address, dropped), "line"):
            letters.check(batch.texts)
            yield batch


def _reviews(
    rows: Iterator[Row], layout: Layout, options: Options, address: str, dropped: Counter[str]
) -> Iterator[Labelled]:
    before = layout.skipped
    for row in rows:
        if row.fault and options.damaged_rows == "refuse":
            raise UserError(f"{address}: line {row.number}: {row.fault}")
        if row.fault:
            # each line of a text with broken quotes may have been a row
            dropped[row.fault] += len(row.lines)
        elif before:
            before -= 1
        else:
            fields = row.fields
            group = None if layout.group is None else fields[layout.group]
            yield Labelled(row.number, fields[layout.text] or None, fields[layout.label], group)


def choose(path: Path, encoding: str, options: Options, address: str) -> tuple[Dialect, Layout]:
    """Return the dialect and the columns of a file, after reading all of it.

    Raises:
        UserError: no dialect fits; the message names the line and the options to set.
    """
    candidates: list[tuple[int, Dialect, Layout]] = []
    refusals: list[UserError] = []
    for dialect in _possible(options):
        with encodings.opened(path, encoding, address) as file:
            rows = dialects.rows(file, dialect, len(options.columns))
            sample = [row.fields for row in itertools.islice(rows, SAMPLE_ROWS) if not row.fault]
        # captured requests may have one column alone
        if sample and (len(sample[-1]) > 1 or _wanted(options).issuperset(sample[0])):
            try:
                candidates.append((len(sample), dialect, find_columns(sample, options, address)))
            except UserError as error:
                refusals.append(error)
    if options.damaged_rows == "drop" and candidates:
        _, dialect, layout = max(candidates, key=lambda candidate: candidate[0])
        return dialect, layout
    faults: list[tuple[Row, Dialect]] = []
    for _, dialect, layout in candidates:
        with encodings.opened(path, encoding, address) as file:
            checked = _checked(file, dialect, layout, options)
            fault = next((row for row in checked if row.fault), None)
        if fault is None:
            return dialect, layout
        faults.append((fault, dialect))
    if faults:
        row, dialect = max(faults, key=lambda each: each[0].number)
        raise UserError(
            f"{address}: line {row.number}: {row.fault}, with {dialect}; correct the line, or set"
            " separator, quoting or damaged_rows: drop"
        )
    raise (
        refusals[0]
        if refusals
        else UserError(f"{address}: not a table with columns; set format or separator")
    )


def _wanted(options: Options) -> set[str]:
    return {*wanted_columns(options).values()}


def _possible(options: Options) -> Iterator[Dialect]:
    """Yield the dialects that the options leave open, the most usual first."""
    separator, quoting = options.separator, options.quoting
    if options.format == "tsv" and separator == AUTO:
        separator = "tab"
    separators = SEPARATORS if separator == AUTO else [NAMED.get(separator, separator)]
    quotings = dialects.QUOTINGS if quoting == AUTO else [quoting]
    yield from itertools.starmap(Dialect, itertools.product(separators, quotings))


def _checked(file: TextIO, dialect: Dialect, layout: Layout, options: Options) -> Iterator[Row]:
    """Yield the rows of a file; a row whose quotes swallow other rows has a fault."""
    known = {*labels.mapping(options.labels)}
    rows = dialects.rows(file, dialect, len(options.columns))
    for place, row in enumerate(rows):
        if row.fault or place < layout.skipped:
            yield row
        elif len(row.lines) == 1:
            if len(known) < labels.MOST_VALUES:
                known.add(labels.spelling(row.fields[layout.label]))
            yield row
        elif options.quoting == AUTO and _swallows(row, dialect, layout, known):
            fault = f"a quoted text holds the next {len(row.lines) - 1} lines, which look like rows"
            yield row._replace(fault=fault)
        else:
            yield row


def _swallows(row: Row, dialect: Dialect, layout: Layout, known: set[str]) -> bool:
    """Return whether two lines of a row look like rows: as many fields, and a known label.

    One line may, as the first or the last of a text does whose label stands beside it.
    """
    plain = Dialect(dialect.separator, "none")
    found = 0
    for line in row.lines:
        for inner in dialects.rows(iter([line]), plain):
            if len(inner.fields) == len(row.fields):
                label = labels.spelling(inner.fields[layout.label])
                found += label in known or labels.is_usual(label)
    return found > 1


def find_columns(sample: list[list[str]], options: Options, address: str) -> Layout:
    """Return where the columns of a file are; ``sample`` are its first rows.

    The first row is a header, unless no name that is wanted is in it, and one column of the rows
    alone looks like labels, in the first row, too.

    Raises:
        UserError: a column is missing.
    """
    first = [cell.strip() for cell in sample[0]]
    wanted = _wanted(options)
    guess = _guess(sample)
    if options.header == AUTO and options.columns:
        header = not set(first).isdisjoint(options.columns) or len(first) != len(options.columns)
    elif options.header == AUTO:
        header = not set(first).isdisjoint(wanted) or guess is None
    else:
        header = options.header == "present"
    numbers = [str(number) for number in range(1, len(first) + 1)]
    names = list(options.columns) or (first if header else numbers)
    if not header and len(names) != len(first):
        raise UserError(
            f"{address}: line 1 has {len(first)} fields, but columns has {len(names)} names"
        )
    given = options.columns or options.group_column  # which can only be found by its name
    if not header and guess and not given and set(names).isdisjoint(wanted):
        text, label = guess
        said = f", no header, text in column {text + 1}, label in column {label + 1}"
        return Layout(text, label, None, 0, said)
    way_out = ", or --header absent if the first row is a review" if header else ""
    require_columns(names, options, address, way_out)
    text, label, *group = (names.index(name) for name in wanted_columns(options).values())
    return Layout(text, label, group[0] if group else None, int(header))


def _guess(sample: list[list[str]]) -> tuple[int, int] | None:
    """Return the columns of text and label in rows without names, if they stand out."""
    columns = [*zip(*(row for row in sample if len(row) == len(sample[-1])), strict=True)]
    usual = [place for place, cells in enumerate(columns) if all(map(labels.is_usual, cells))]
    # repeated words, such as those of dates, count once
    words = [{word for cell in cells for word in cell.split()} for cells in columns]
    lengths = sorted((sum(map(len, each)), place) for place, each in enumerate(words))
    longest, text = lengths[-1]
    if len(usual) != 1 or (len(lengths) > 1 and longest < _CLEARLY_LONGER * lengths[-2][0]):
        return None
    return text, usual[0]
