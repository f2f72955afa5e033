"""Label Studio's own exports of tasks that were imported and labelled there (tests/recordings)."""

import csv
import io
import json
from dataclasses import dataclass
from xml.etree import ElementTree

import pytest

from components.errors import UserError
from components.labelling import label_studio
from components.labelling.labels import Label
from tests.conftest import REPO

FOLDER = REPO / "tests/recordings/label_studio"
FORMATS = ("json", "min.json", "csv", "tsv")
TABLES = ("csv", "tsv")
REQUEST = "1a0c4f0e-9f5b-4a39-8a52-0000000000"


@dataclass
class Item:
    request_id: str
    index: int
    text: str


def content(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def read(name: str) -> label_studio.Export:
    return label_studio.read(content(name), name)


def triples(labels: list[Label]) -> list[tuple[str, int, str, str | None]]:
    return sorted((each.request_id, each.index, each.label, each.by) for each in labels)


LABELLED = [
    (f"{REQUEST}01", 0, "positive", "1"),
    (f"{REQUEST}01", 0, "positive", "2"),
    (f"{REQUEST}01", 1, "negative", "2"),
    (f"{REQUEST}02", 0, "negative", "2"),
    (f"{REQUEST}02", 0, "positive", "1"),
    (f"{REQUEST}05", 0, "negative", "2"),
    ("shop:order-17", 0, "negative", "2"),
    ("shop:order-17", 0, "positive", "1"),
]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("name", ["two", "two-all"])
def test_each_annotator_gives_a_label(name: str, ending: str):
    """The conflicts too; not what was skipped, left as a draft or not looked at."""
    assert triples(read(f"{name}.{ending}").labels) == LABELLED


@pytest.mark.parametrize("ending", FORMATS[1:])
def test_formats_agree_to_the_microsecond(ending: str):
    by_time = sorted(read("two.json").labels, key=lambda each: each.at or "")
    assert sorted(read(f"two.{ending}").labels, key=lambda each: each.at or "") == by_time


def test_time_is_that_of_the_last_change():
    (task,) = [
        task
        for task in json.loads(content("two.json"))
        if task["data"]["request_id"] == "shop:order-17"
    ]
    corrected = task["annotations"][1]
    assert corrected["updated_at"] > corrected["created_at"]
    (label,) = [each for each in read("two.json").labels if each.at == corrected["updated_at"]]
    assert label.label == "negative"


def test_what_gives_no_label_is_counted():
    found = read("two-all.json")
    assert (found.skipped, found.drafts, found.unlabelled) == (3, 1, 2)
    found = read("two.json")  # only tasks that are done
    assert (found.skipped, found.drafts, found.unlabelled) == (3, 0, 0)


def test_skipped_after_a_click_is_no_label():
    """The page sends the choice that was clicked before *Skip*."""
    last = json.loads(content("page.json"))[-1]["annotations"][0]
    assert last["was_cancelled"]
    assert last["result"]
    found = read("page.json")
    assert found.skipped == 2
    assert len(found.labels) == 2


@pytest.mark.parametrize("ending", FORMATS[1:])
def test_tables_leave_out_the_skipped(ending: str):
    found = read(f"two-all.{ending}")
    assert (found.skipped, found.drafts, found.unlabelled) == (0, 0, 2)


@pytest.mark.parametrize("ending", FORMATS)
def test_odd_classes_come_back(ending: str):
    classes = ['it\'s "bad"; no', "so-so & <odd>", "très bien, oui"]
    assert [each.label for each in read(f"three.{ending}").labels] == classes
    # these were clicked in the browser
    assert [each.label for each in read(f"page.{ending}").labels] == ["$5 off", "so-so & <odd>"]


@pytest.mark.parametrize("ending", FORMATS)
def test_an_export_without_labels_is_empty(ending: str):
    assert read(f"none.{ending}") == label_studio.Export([], 0, 0, 0)


@pytest.mark.parametrize("name", ["two", "page"])
def test_recorded_tasks_are_those_that_are_imported(name: str):
    data = [task["data"] for task in json.loads(content(f"{name}.json"))]
    tasks = label_studio.tasks(Item(**each) for each in data)
    assert tasks == [{"data": each} for each in data]
    assert set(data[0]) == {"request_id", "index", "text"}  # no prediction, and no id


def test_recordings_are_of_this_config():
    """If it fails, the exports are to be recorded again: a real project has this config."""
    odd = ['it\'s "bad"; no', "so-so & <odd>", "très bien, oui"]
    page = ["$5 off", "so-so & <odd>", "plain"]
    for name, classes in (("two", ["negative", "positive"]), ("three", odd), ("page", page)):
        assert label_studio.config(classes).strip() == content(f"{name}.xml").decode()


@pytest.mark.parametrize("ending", TABLES)
def test_table_that_a_spreadsheet_has_saved(ending: str):
    delimiter = "\t" if ending == "tsv" else ","
    rows = csv.reader(io.StringIO(content(f"three.{ending}").decode()), delimiter=delimiter)
    saved = io.StringIO()
    csv.writer(saved, delimiter=";").writerows(rows)
    found = label_studio.read(saved.getvalue().encode("utf-8-sig"), "saved.csv")
    assert found == read("three.csv")


@pytest.mark.parametrize(
    "classes", [["negative", "positive"], ['a"b', "c'd", "e\"'f", "g & <h>", "i\nj", "$5 off"]]
)
def test_config_names_the_classes(classes: list[str]):
    root = ElementTree.fromstring(label_studio.config(classes))  # noqa: S314 - our own
    choices = root.find("Choices")
    assert choices is not None
    assert choices.attrib["choice"] == "single"
    assert [each.get("alias", each.get("value")) for each in choices] == classes
    assert not any("$" in each.attrib["value"] for each in choices)


def changed(name: str, **data: object) -> bytes:
    """Return a recording whose first task has other data."""
    tasks = json.loads(content(name))
    tasks[0].get("data", tasks[0]).update(data)
    return json.dumps(tasks).encode()


def with_choices(*choices: object, control: str = "label") -> bytes:
    """Return the recording of one annotation with other choices."""
    (task, *_) = json.loads(content("three.json"))
    result = {"from_name": control, "type": "choices", "value": {"choices": choices}}
    task["annotations"][0]["result"] = [result]
    return json.dumps([task]).encode()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (b"\xff", r"labels: not UTF-8"),
        (b"[", r"labels: not JSON"),
        (b'{"a": 1}', r"labels: not an export of Label Studio, which is a list of tasks"),
        (b"[1]", r"labels: not an export of Label Studio"),
        (b"request_id,index,label\na,0,b\n", r"labels: no column 'annotation_id'"),
        (b"", r"labels: no column 'annotation_id'"),
        (b"annotation_id,label\n1,a\n", r"labels: line 2: not a Row: request_id: Field required"),
        (b'annotation_id,label\n1,"a\n', r"labels: line 2: unexpected end of data"),
        (changed("two.json", index=-1), r"labels: task 1: not a Task: data.index: "),
        (changed("two.json", request_id=None), r"labels: task 1: not a Task: data.request_id: "),
        (changed("two.min.json", index="x"), r"labels: task 1: not a Row: index: "),
        (changed("two.min.json", label=["a", "b"]), r"labels: task 1: more than one choice"),
        (with_choices("a", "b"), r"labels: task 9: not one choice in 'label'"),
        (with_choices(1), r"labels: task 9: not one choice in 'label'"),
        (with_choices("a", control="other"), r"labels: no annotation has a choice in 'label'"),
        (
            json.dumps(label_studio.tasks([Item("a", 0, "b")])).encode(),
            r"labels: task without a number: not a Task: id: Field required",
        ),
    ],
)
def test_other_files_are_refused(wrong: bytes, message: str):
    with pytest.raises(UserError, match=f"^{message}"):
        label_studio.read(wrong, "labels")


def test_exports_are_recognised():
    for path in FOLDER.glob("*.*sv"):
        assert label_studio.is_export(path.read_bytes()), path
    for path in FOLDER.glob("*.json"):
        assert label_studio.is_export(path.read_bytes()), path
    assert not label_studio.is_export(b"request_id,index,text,label\na,0,annotation_id,b\n")
    assert not label_studio.is_export(b'{"request_id": "a", "index": 0, "label": "annotation_id"}')


def test_recordings_name_no_person():
    for path in FOLDER.iterdir():
        text = path.read_text()
        assert text.count("@") == text.count("@example.org"), path
        assert "/home/" not in text
        assert "/tmp/" not in text
