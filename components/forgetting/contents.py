"""Remove the records of texts from a file: JSON Lines, JSON, CSV or Parquet.

A record is a line, an element of a list or a row. It is removed if its field ``text`` is to be
forgotten, or if it has no text and names the captured prediction of one: a request id, in the field
``request_id`` or ``id``, and ``index``. Clients may repeat an id, so it does not decide about a
text. No other field decides: a short text may equal a label.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.forgetting.wanted import Wanted
from components.reading import dialects  # noqa: F401 - lets csv read long fields

TEXT = "text"
ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_INDEX = re.compile(r"(\d{1,10})(?:\.0*)?")  # a spreadsheet may have made it 0.0
WITHOUT_TEXTS = (".xml",)  # label-studio.xml, the configuration of the page


class NotReadableError(Exception):
    """A file is not of the format that its name says, or of no known one."""


@dataclass(frozen=True)
class Record:
    """What a mapping says of a captured prediction: any of its parts may be missing."""

    id: str | None
    index: int | None
    texts: list[str]


def records(name: str, content: bytes) -> Iterator[Record]:
    """Yield the record of each mapping in a file, at any depth.

    Raises:
        NotReadableError: the file cannot be read.
    """
    for value in _values(name, content):
        yield from _records(value)


def without(name: str, content: bytes, wanted: Wanted) -> tuple[bytes, int]:
    """Return the file without the records of ``wanted``, and how many these were.

    Raises:
        NotReadableError: the file cannot be read, or what it is to lose is in no list.
    """
    suffix = PurePath(name).suffix.lower()
    if suffix == ".jsonl":
        return _without_lines(content, wanted)
    if suffix == ".json":
        return _without_elements(content, wanted)
    if suffix in (".csv", ".tsv"):
        return _without_rows(content, wanted)
    if suffix == ".parquet":
        return _without_table_rows(content, wanted)
    return content, 0


def texts_elsewhere(name: str, content: bytes, wanted: Wanted) -> int:
    """Return how many fields that are not ``text`` hold a text of several words to forget."""
    return sum(
        wanted.is_copy(text)
        for value in _values(name, content)
        for key, text in _strings(value, "")
        if key.lower() != TEXT and " " in text.strip()
    )


def unreadable_lines(name: str, content: bytes) -> int:
    """Return how many lines of a file of JSON Lines are not JSON, as a cut-off last one."""
    if PurePath(name).suffix.lower() != ".jsonl":
        return 0
    return sum(_line(line) is None for line in content.splitlines() if line.strip())


def _is_wanted(record: Record, wanted: Wanted) -> bool:
    if record.texts:
        return any(map(wanted.is_copy, record.texts))
    return (record.id, record.index) in wanted.requests


def _has_copy(value: Any, wanted: Wanted) -> bool:
    return any(_is_wanted(record, wanted) for record in _records(value))


def _records(value: Any) -> Iterator[Record]:
    if isinstance(value, dict):
        yield _record(value)
        for each in value.values():
            yield from _records(each)
    elif isinstance(value, list):
        for each in value:
            yield from _records(each)


def _record(value: dict[Any, Any]) -> Record:
    fields = {str(key).lower(): each for key, each in value.items()}
    text, id, index = fields.get(TEXT), fields.get("request_id", fields.get("id")), None
    if match := _INDEX.fullmatch(str(fields.get("index"))):
        index = int(match[1])
    texts = text if isinstance(text, list) else [text]
    given = str(id) if isinstance(id, str | int) else None
    return Record(given, index, [each for each in texts if isinstance(each, str)])


def _strings(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _strings(each, str(name))
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each, key)


def _values(name: str, content: bytes) -> Iterator[Any]:
    suffix = PurePath(name).suffix.lower()
    if suffix == ".jsonl":
        for line in content.splitlines():
            yield _line(line)
    elif suffix == ".json":
        yield _loads(content)
    elif suffix in (".csv", ".tsv"):
        rows, _ = _rows(content)
        yield from rows[:1]  # a file without a header begins with a record
        for row in rows[1:]:
            yield _row(rows[0], row)
    elif suffix == ".parquet":
        yield from _table(content).to_pylist()
    elif suffix not in WITHOUT_TEXTS:
        raise NotReadableError("a format that forget does not know")


def _loads(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotReadableError(f"not JSON ({error})") from error


def _line(line: bytes) -> Any:
    """Return the value of a line of JSON Lines, None if it is not JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _without_lines(content: bytes, wanted: Wanted) -> tuple[bytes, int]:
    lines = content.splitlines(keepends=True)
    kept = [line for line in lines if not _has_copy(_line(line), wanted)]
    return b"".join(kept), len(lines) - len(kept)


def _without_elements(content: bytes, wanted: Wanted) -> tuple[bytes, int]:
    value = _loads(content)
    removed = _prune(value, lambda each: _has_copy(each, wanted))
    if _has_copy(value, wanted):
        raise NotReadableError("the text is in no element of a list")
    if not removed:
        return content, 0
    indented = re.search(rb"\n( +)", content)
    indent = len(indented[1]) if indented else None
    return (json.dumps(value, indent=indent, ensure_ascii=False) + "\n").encode(), removed


def _prune(value: Any, is_wanted: Callable[[Any], bool]) -> int:
    """Remove the elements of lists that are wanted, the innermost first; return their number."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    removed = sum(_prune(each, is_wanted) for each in inner)
    if isinstance(value, list):
        kept = [each for each in value if not is_wanted(each)]
        removed += len(value) - len(kept)
        value[:] = kept
    return removed


def _rows(content: bytes) -> tuple[list[list[str]], str]:
    """Return the rows of CSV, the header first, and their separator."""
    try:
        text = content.decode("utf-8-sig")
        header = text.partition("\n")[0]
        separator = max(",;\t", key=header.count)
        return [
            *csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        ], separator
    except (UnicodeDecodeError, csv.Error) as error:
        raise NotReadableError(f"not CSV in UTF-8 ({error})") from error


def _row(header: list[str], row: list[str]) -> dict[str, Any]:
    """Return the fields of a row, and under an empty name those beyond the header."""
    return dict(zip(header, row, strict=False)) | {"": row[len(header) :]}


def _without_rows(content: bytes, wanted: Wanted) -> tuple[bytes, int]:
    rows, separator = _rows(content)
    if not rows:
        return content, 0
    header, *rest = rows
    kept = [row for row in rest if not _has_copy(_row(header, row), wanted)]
    if len(kept) == len(rest):
        return content, 0
    end = "\r\n" if b"\r\n" in content.partition(b"\n")[0] + b"\n" else "\n"
    output = io.StringIO(newline="")
    csv.writer(output, delimiter=separator, lineterminator=end).writerows([header, *kept])
    mark = "utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "utf-8"
    return output.getvalue().encode(mark), len(rest) - len(kept)


def _table(content: bytes) -> pa.Table:
    try:
        return pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        raise NotReadableError(f"not a Parquet file ({error})") from error


def _without_table_rows(content: bytes, wanted: Wanted) -> tuple[bytes, int]:
    table = _table(content)
    kept = [not _has_copy(row, wanted) for row in table.to_pylist()]
    if all(kept):
        return content, 0
    output = io.BytesIO()
    pq.write_table(table.filter(pa.array(kept, pa.bool_())), output, compression="zstd")
    return output.getvalue(), kept.count(False)
