"""Excel's workbooks (.xlsx). The library holds one sheet in memory, of at most 1,048,576 rows."""

import logging
from collections.abc import Iterator
from pathlib import Path

from python_calamine import CalamineError, CalamineSheet, load_workbook

from components.errors import UserError
from components.reading.batches import Batch, Labelled, batched
from components.reading.options import Options, wanted_columns

log = logging.getLogger("ingest")


def read(path: Path, options: Options, address: str) -> Iterator[Batch]:
    """Yield the rows of all sheets whose first row names the columns.

    Raises:
        UserError: the file is no workbook, or no sheet has the columns.
    """
    wanted = [*wanted_columns(options).values()]
    found = False
    try:
        with load_workbook(path) as book:
            for name in book.sheet_names:
                sheet = book.get_sheet_by_name(name)
                header = [str(cell).strip() for cell in next(sheet.iter_rows(), [])]
                if all(header.count(column) == 1 for column in wanted):
                    found = True
                    places = [header.index(column) for column in wanted]
                    yield from batched(_reviews(sheet, places, f"{address}: {name}"), "row")
                else:
                    log.info("%s: sheet %r has not the columns and is not read", address, name)
    except CalamineError as error:
        raise UserError(f"{address}: not a whole Excel workbook ({error})") from error
    if not found:
        raise UserError(
            f"{address}: no sheet has the columns {' and '.join(map(repr, wanted))} in its first"
            f" row; see {' and '.join(wanted_columns(options))}"
        )


def _reviews(sheet: CalamineSheet, places: list[int], where: str) -> Iterator[Labelled]:
    rows = sheet.iter_rows()
    next(rows)  # the header
    first = sheet.start[0] + 2 if sheet.start else 2
    for number, row in enumerate(rows, first):
        if any(cell != "" for cell in row):
            value, label, *group = (row[place] for place in places)
            if isinstance(value, float):  # a text such as 10 is a number in a sheet
                value = str(int(value)) if value.is_integer() else str(value)
            if not isinstance(value, str):
                kind = type(value).__name__
                raise UserError(f"{where}: row {number}: text is a {kind}, not a string")
            yield Labelled(number, value or None, label, *group)
