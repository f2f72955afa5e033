"""CSV in its dialects: the separator and the quotes are those with which every line fits.

No library tells for certain whether a quote opens a field or belongs to the text, and most of them
lose rows in silence: a quote at the start of a text swallows the lines up to the next one. Here a
dialect is taken only if all rows of the file have as many fields as the first, and if no quoted
text holds lines that look like rows.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

QUOTINGS = ("standard", "backslash", "none")
LONGEST_FIELD = 1 << 24  # characters; it bounds what an unclosed quote can swallow
csv.field_size_limit(LONGEST_FIELD)


@dataclass(frozen=True)
class Dialect:
    separator: str
    quoting: str

    def __str__(self) -> str:
        return f"separator {self.separator!r}, quoting {self.quoting}"


class Row(NamedTuple):
    """The fields of a row, or what is wrong with it; ``lines`` are those of the file."""

    number: int  # of the first line, from 1
    fields: list[str]
    lines: list[str]
    fault: str = ""


def rows(lines: Iterator[str], dialect: Dialect, width: int = 0) -> Iterator[Row]:
    """Yield the rows of a file, blank lines left out.

    A row with another number of fields than the first has, or than ``width``, has a fault. With a
    ``width``, the first row may have any number: R writes no name over the names of the rows.
    """
    kept: list[str] = []
    reader = csv.reader(_keep(lines, kept, dialect), strict=True, **_arguments(dialect))
    first = True
    for fields, fault in _parsed(reader):
        number = reader.line_num - len(kept) + 1
        if fault or len(fields) > 1 or "".join(fields).strip():
            wanted = width or len(fields)
            if not fault and len(fields) != wanted and not first:
                fault = f"{len(fields)} fields, not {wanted}"
            yield Row(number, fields, list(kept), fault)
            if not fault:
                first, width = False, wanted
        kept.clear()


def _keep(lines: Iterator[str], kept: list[str], dialect: Dialect) -> Iterator[str]:
    for line in lines:
        kept.append(line)
        if dialect.quoting == "backslash" and "\\" in line:
            # the reader drops each backslash, but \n in a text is not an escaped n
            line = re.sub(r"\\([\s\S])", _escaped, line)
        yield line


def _escaped(match: re.Match[str]) -> str:
    return "\\" + match[0] if match[1].isalnum() else match[0]


def _arguments(dialect: Dialect) -> dict[str, Any]:
    given: dict[str, Any] = {"delimiter": dialect.separator}
    if dialect.quoting == "none":
        given["quoting"] = csv.QUOTE_NONE
    elif dialect.quoting == "backslash":
        given["escapechar"] = "\\"
    return given


def _parsed(reader: Any) -> Iterator[tuple[list[str], str]]:
    """Yield the fields of each row and "", or none and the error that the reader found."""
    while True:
        try:
            yield next(reader), ""
        except StopIteration:
            return
        except csv.Error as error:  # the reader goes on with the next line
            yield [], f"broken quotes ({error})"
