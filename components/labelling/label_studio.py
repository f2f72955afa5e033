"""Label Studio: tasks to import, the labelling config, and the labels of an export.

The exports are JSON, JSON-MIN, CSV and TSV of Label Studio 1.23 (tests/recordings/label_studio).
JSON has each annotation as it is; the others have a row for each annotation, and leave out the
skipped ones.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from xml.sax.saxutils import quoteattr

from pydantic import Field

from components.errors import UserError
from components.io import records
from components.io.records import record
from components.labelling.labels import Label

CONTROL = "label"  # name of the choices in the config, which exports repeat
MARK = "annotation_id"  # a column of each table that Label Studio exports
DELIMITERS = (",", "\t", ";")  # of CSV, of TSV, and of a CSV that a spreadsheet has saved


class Item(Protocol):
    """A captured text to be labelled."""

    @property
    def request_id(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def text(self) -> str: ...


def tasks(items: Iterable[Item]) -> list[dict[str, dict[str, str | int]]]:
    """Return what Label Studio imports.

    The prediction is not in it: an annotator who sees it tends to agree with it. A field ``id``
    would be lost, as JSON-MIN and CSV have the number of the task there.
    """
    return [
        {"data": {"request_id": each.request_id, "index": each.index, "text": each.text}}
        for each in items
    ]


def config(classes: Sequence[str]) -> str:
    """Return the labelling config: one of the classes must be chosen for each text."""
    choices = "\n".join(f"    <Choice {_attributes(each)}/>" for each in classes)
    return f"""<View>
  <Text name="text" value="$text"/>
  <Choices name="{CONTROL}" toName="text" choice="single" required="true">
{choices}
  </Choices>
</View>
"""


def _attributes(name: str) -> str:
    if "$" not in name:
        return f"value={quoteattr(name)}"
    # the page takes $word of a value for a field of the task; exports have the alias
    shown = name.replace("$", "\N{FULLWIDTH DOLLAR SIGN}")
    return f"value={quoteattr(shown)} alias={quoteattr(name)}"


@dataclass(frozen=True)
class Export:
    """The labels of an export, several of a text if several persons labelled it.

    ``skipped`` are annotations without a label, ``drafts`` those that were not submitted, and
    ``unlabelled`` the tasks without an annotation; the formats other than JSON do not have all.
    """

    labels: list[Label]
    skipped: int
    drafts: int
    unlabelled: int


@record
class Data:
    request_id: str = Field(min_length=1)
    index: int = Field(ge=0)


@record
class Annotation:
    """An annotation in JSON; ``completed_by`` is a user's number, or the user."""

    completed_by: int | dict[str, Any] | None
    result: list[dict[str, Any]]
    was_cancelled: bool = False
    updated_at: str | None = None


@record
class Task:
    id: int
    data: Data
    annotations: list[Annotation]
    drafts: list[Any] = Field(default_factory=list)


@record
class Row(Data):
    """An annotation in JSON-MIN, CSV or TSV, or a task without one."""

    annotation_id: int | None = None
    annotator: int | str | None = None
    updated_at: str | None = None
    label: str | None = None


def is_export(content: bytes) -> bool:
    """Tell whether a file is an export of Label Studio, by its beginning."""
    head = content[:1000].decode("utf-8-sig", errors="replace").lstrip()
    return head.startswith("[") or (head[:1] != "{" and MARK in head.partition("\n")[0])


def read(content: bytes, name: str) -> Export:
    """Return the labels of an export; ``name`` is the file's, for messages.

    Raises:
        UserError: it is no such export; the message names the file and the task or line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: not UTF-8 ({error.reason} at byte {error.start})") from error
    if not text.lstrip().startswith(("[", "{")):
        return _of_rows(_table(text, name), name)
    found = _json(text, name)
    if any("data" in each for each in found):
        return _of_tasks(found, name)
    return _of_rows(((_task_name(each), each) for each in found), name)


def _json(text: str, name: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name}: not JSON ({error})") from error
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise UserError(f"{name}: not an export of Label Studio, which is a list of tasks")
    return found


def _task_name(task: Mapping[str, Any]) -> str:
    return f"task {task.get('id', 'without a number')}"


def _of_tasks(found: list[dict[str, Any]], name: str) -> Export:
    labels: list[Label] = []
    skipped = drafts = unlabelled = empty = 0
    for value in found:
        where = f"{name}: {_task_name(value)}"
        task = records.parse(value, Task, where)
        drafts += len(task.drafts)
        unlabelled += not task.annotations
        for annotation in task.annotations:
            label = None if annotation.was_cancelled else _choice(annotation.result, where)
            skipped += annotation.was_cancelled
            empty += label is None and not annotation.was_cancelled
            if label is not None:
                by, at = _user(annotation.completed_by), annotation.updated_at
                labels.append(Label(task.data.request_id, task.data.index, label, by, at))
    _require_choices(labels, empty, name)
    return Export(labels, skipped + empty, drafts, unlabelled)


def _of_rows(rows: Iterable[tuple[str, Mapping[str, Any]]], name: str) -> Export:
    labels: list[Label] = []
    empty = unlabelled = 0
    for place, value in rows:
        if isinstance(value.get(CONTROL), list | dict):
            raise UserError(f"{name}: {place}: more than one choice in {CONTROL!r}")
        row = records.parse(value, Row, f"{name}: {place}")
        if row.annotation_id is None:
            if row.label is not None:
                raise UserError(f"{name}: {place}: a label without an {MARK}; use JSON Lines")
            unlabelled += 1
        elif row.label is None:
            empty += 1
        else:
            by = None if row.annotator is None else str(row.annotator)
            labels.append(Label(row.request_id, row.index, row.label, by, row.updated_at))
    _require_choices(labels, empty, name)
    return Export(labels, empty, 0, unlabelled)


def _require_choices(labels: list[Label], empty: int, name: str) -> None:
    if empty and not labels:
        raise UserError(
            f"{name}: no annotation has a choice in {CONTROL!r}, its name in label-studio.xml"
        )


def _choice(result: list[dict[str, Any]], where: str) -> str | None:
    """Return the class that was chosen, None if there is none."""
    for each in result:
        if each.get("from_name") == CONTROL and each.get("type") == "choices":
            match each.get("value"):
                case {"choices": [str(label)]}:
                    return label
            raise UserError(f"{where}: not one choice in {CONTROL!r}")
    return None


def _user(found: int | dict[str, Any] | None) -> str | None:
    if isinstance(found, dict):
        found = found.get("id")
    return None if found is None else str(found)


def _table(text: str, name: str) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Yield the rows of a CSV or TSV, without their empty cells, with the lines they end at."""
    head = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        if MARK not in (reader.fieldnames or ()):
            raise UserError(f"{name}: no column {MARK!r}, which an export of Label Studio has")
        for row in reader:
            yield f"line {reader.line_num}", {key: value or None for key, value in row.items()}
    except csv.Error as error:
        raise UserError(f"{name}: line {reader.reader.line_num}: {error}") from error
