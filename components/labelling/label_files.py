"""Files of labels: a filled items.csv or items.jsonl of a queue, or an export of Label Studio."""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from components.errors import UserError
from components.io import records
from components.labelling import json_lines, label_studio
from components.labelling.labels import Label

_COLUMNS = ("request_id", "index", "label")
_ZIP = b"PK"  # of .xlsx and .ods


def read(content: bytes, name: str) -> tuple[list[Label], int]:
    """Return the labels in a file, and how many of its texts have none; messages have ``name``.

    Raises:
        UserError: the file is damaged, or of another form; the message names the line or the task.
    """
    if label_studio.is_export(content):
        found = label_studio.read(content, name)
        return found.labels, found.skipped + found.unlabelled
    if content.startswith(_ZIP):
        raise UserError(f"{name}: a spreadsheet or archive; save it as CSV UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"not UTF-8 ({error.reason} at byte {error.start})"
        raise UserError(f"{name}: {why}; save it as CSV UTF-8") from error
    if text.lstrip().startswith("{"):
        return _of_rows(json_lines.read(text.encode().split(b"\n"), name))
    return _of_rows(_table(text, name))


def _table(text: str, name: str) -> Iterable[tuple[str, dict[str, Any]]]:
    head = text.partition("\n")[0]
    separator = max((",", ";", "\t"), key=head.count)  # a spreadsheet may save another one
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        if missing := {*_COLUMNS} - {*(reader.fieldnames or ())}:
            raise UserError(
                f"{name}: no column {min(missing)!r}; items.csv has {', '.join(_COLUMNS)}"
            )
        for row in reader:
            if None in row:
                raise UserError(f"{name}, line {reader.line_num}: more fields than columns")
            yield f"{name}, line {reader.line_num}", row
    except csv.Error as error:
        raise UserError(f"{name}, line {reader.line_num}: {error}") from error


def _of_rows(rows: Iterable[tuple[str, dict[str, Any]]]) -> tuple[list[Label], int]:
    labels, without = [], 0
    for where, row in rows:
        given = {key: value for key, value in row.items() if value not in (None, "")}
        label = _spelled(given.get("label"))
        if label in (None, ""):
            without += 1
        else:
            labels.append(records.parse(given | {"label": label}, Label, where))
    return labels, without


def _spelled(label: Any) -> Any:
    """Return a label as the name of a class: JSON may have 1 for the class "1"."""
    match label:
        case bool() | int() | float():
            return json.dumps(label)
        case str():
            return label.strip()
    return label
