"""Queues of predictions to label: the record of a draw, and its files for those who label.

A queue is a folder beneath the address of all queues, named by the time of its newest prediction.
The record ``queue.json`` is written last: a folder without it is no queue.
"""

import csv
import io
import json
import logging
from dataclasses import replace
from pathlib import PurePath

from components.errors import UserError
from components.io import records
from components.io.records import record
from components.labelling import folders, label_files, label_studio
from components.labelling.labels import Label

log = logging.getLogger("labels")

LISTS = ("items.csv", "items.jsonl")  # which persons may fill in where they are
TASKS = ("label-studio.json", "label-studio.xml")
RECORD = "queue.json"
LABELS = "labels"  # how the names of the files with labels begin
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a formula of a spreadsheet may begin with
_COLUMNS = ("request_id", "index", "text", "label")


@record
class Stratum:
    """Captured predictions among which ``drawn`` were drawn at random, without replacement.

    ``predicted`` counts those captured by the class that was predicted. ``sample`` is the share of
    the requests that were captured.
    """

    version: str
    kind: str
    sample: float
    captured: int
    drawn: int
    predicted: dict[str, int]


@record
class Item:
    """A prediction to label, of the stratum of this number.

    ``probability`` is that of being captured and drawn.
    """

    request_id: str
    index: int
    stratum: int
    probability: float
    predicted: str
    text: str


@record
class Queue:
    """A draw from the predictions captured after ``since`` until ``until`` (ISO 8601, UTC).

    ``skipped`` counts the captured predictions that could not be drawn, by reason.
    """

    model: str
    since: str
    until: str
    seed: int
    classes: list[str]
    strata: list[Stratum]
    items: list[Item]
    skipped: dict[str, int]

    @property
    def name(self) -> str:
        return self.until[:19].replace(":", "").replace("-", "")


def write(address: str, queue: Queue) -> None:
    """Write the files of a queue.

    Raises:
        UserError: access is denied.
        UnavailableError: S3 does not respond.
    """
    rows = [
        {"request_id": item.request_id, "index": item.index, "text": item.text, "label": None}
        for item in queue.items
    ]
    table = io.StringIO()
    writer = csv.DictWriter(table, _COLUMNS)
    writer.writeheader()
    writer.writerows({**row, "text": _cell(str(row["text"]))} for row in rows)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    tasks = label_studio.tasks(queue.items)
    for name, content in (
        (LISTS[0], table.getvalue()),
        (LISTS[1], lines),
        (TASKS[0], json.dumps(tasks, ensure_ascii=False, indent=1)),
        (TASKS[1], label_studio.config(queue.classes)),
        (RECORD, json.dumps(records.plain(queue), ensure_ascii=False, indent=1)),
    ):
        folders.write(address, f"{queue.name}/{name}", content.encode())


def _may_have_labels(name: str) -> bool:
    return name in LISTS or (name.lower().startswith(LABELS) and not name.endswith("~"))


def _cell(text: str) -> str:
    """Return a text so that no spreadsheet runs it: join takes the text from the record."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def read_all(address: str, model: str) -> list[Queue]:
    """Return the queues of a model, the oldest first.

    Raises:
        UserError: a queue cannot be read.
        UnavailableError: S3 does not respond.
    """
    found = []
    for name in folders.names(address):
        if PurePath(name).name == RECORD:
            where = f"{address.rstrip('/')}/{name}"
            try:
                value = json.loads(folders.read(address, name))
            except ValueError as error:
                raise UserError(f"{where}: not JSON ({error})") from error
            found.append(records.parse(value, Queue, where))
    return sorted((each for each in found if each.model == model), key=lambda each: each.until)


def read_labels(address: str, queue: Queue) -> tuple[list[Label], int]:
    """Return the labels in the files of a queue, and how many of its predictions were skipped.

    Classes may be written in other case: spreadsheets capitalise them. A warning names files of
    other names, which are not read.

    Raises:
        UserError: a file cannot be read, or has a label of no class or of another queue.
        UnavailableError: S3 does not respond.
    """
    found: list[Label] = []
    skipped = 0
    items = {(item.request_id, item.index) for item in queue.items}
    names = [name for name in folders.names(address) if PurePath(name).parent.name == queue.name]
    for name in names:
        path = PurePath(name)
        if not _may_have_labels(path.name):
            if path.name not in (*TASKS, RECORD):
                where = f"{address.rstrip('/')}/{name}"
                log.warning("%s: not read; names of files with labels begin with %r", where, LABELS)
            continue
        where = f"{address.rstrip('/')}/{name}"
        read, left = label_files.read(folders.read(address, name), where)
        if path.name in LISTS and not read:
            continue
        labels = [label for label in read if (label.request_id, label.index) in items]
        if read and not labels:
            first = f"{read[0].request_id}, index {read[0].index}"
            raise UserError(
                f"{where}: no label is of the queue {queue.name}; the first is of {first}"
            )
        skipped += left + len(read) - len(labels)  # such as a text that was forgotten since
        found += [_of_class(label, queue.classes, where) for label in labels]
    return found, skipped


def _of_class(label: Label, classes: list[str], where: str) -> Label:
    """Return the label with its class as the model writes it."""
    if label.label in classes:
        return label
    alike = [each for each in classes if each.casefold() == label.label.casefold()]
    if len(alike) != 1:
        raise UserError(
            f"{where}: {label.label!r}, for {label.request_id}, index {label.index}: no class of"
            f" the model, which has {', '.join(classes)}; leave it empty if there is no answer"
        )
    return replace(label, label=alike[0])
