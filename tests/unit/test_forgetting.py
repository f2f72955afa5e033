"""What counts as a copy of a text, what is removed from which file, and what DVC's record says."""

import csv
import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from components.errors import UserError
from components.forgetting import certificate, contents, expiry, lineage, listed, removal, sightings
from components.forgetting.certificate import Certificate
from components.forgetting.contents import NotReadableError
from components.forgetting.lineage import StageRun
from components.forgetting.removal import Left, Removed
from components.forgetting.stores import Folder
from components.forgetting.wanted import Request, Wanted, parse_request
from components.io.reviews import identity
from tests.conftest import REPO

TEXT = "Dreadful, says mary@example.org"
MASKED = "Dreadful, says [email]"
OTHER = "A fine film"


@pytest.fixture
def wanted() -> Wanted:
    found = Wanted(requests={("r1", 0)})
    found.add_text("--text-file a.txt", TEXT)
    return found


@pytest.mark.parametrize("copy", [TEXT, MASKED, f"  {TEXT.upper()}\n", "dreadful,  SAYS [EMAIL]"])
def test_copies_differ_in_space_case_and_masking(wanted, copy):
    assert wanted.is_copy(copy)
    assert not wanted.is_copy(f"{copy} too")


def test_a_text_in_full_is_not_confused_with_another_of_the_same_masked_form(wanted):
    assert not wanted.is_copy("Dreadful, says bob@example.org")


def test_a_captured_text_stands_for_all_of_its_masked_form():
    wanted = Wanted()
    wanted.add_captured("--id r1/0", MASKED)
    assert wanted.is_copy("Dreadful, says bob@example.org")
    assert identity("Dreadful, says bob@example.org") in wanted.identities


def test_an_identity_finds_the_masked_form_by_the_text():
    wanted = Wanted()
    wanted.add("--id", {identity(TEXT)})
    assert not wanted.is_copy(MASKED)
    assert wanted.is_copy(TEXT)
    assert wanted.is_copy(MASKED)


def test_a_number_is_masked_however_its_white_space_was():
    """A text from a mail is wrapped; the predictor masked it in one line."""
    wanted = Wanted()
    wanted.add_text("--text-file a.txt", "Call 555\n123  4567 now")
    assert wanted.is_copy("Call [phone] now")


def test_what_was_not_found_is_named(wanted):
    wanted.add_text("--text-file b.txt", OTHER)
    wanted.is_copy(MASKED)
    assert wanted.not_found(set()) == ["--text-file b.txt"]
    assert wanted.not_found({identity(OTHER)}) == []


def test_request_ids():
    assert parse_request("a.b:c-d") == Request("a.b:c-d", None)
    assert parse_request("r1/12") == Request("r1", 12)
    for wrong in ("", "r1/", "r1/x", "a b"):
        with pytest.raises(UserError, match="not 32 hexadecimal digits, a request id"):
            parse_request(wrong)


def event(text: str | None, request: str = "r9", index: int = 0, **data: object) -> dict:
    data |= {"request_id": request, "index": index, "label": "positive"}
    return {"id": "an-event", "data": data | ({} if text is None else {"text": text})}


def csv_of(*rows: list[object], separator: str = ",") -> bytes:
    output = io.StringIO(newline="")
    csv.writer(output, delimiter=separator).writerows(rows)
    return output.getvalue().encode()


def lines(*values: object) -> bytes:
    return "".join(json.dumps(each) + "\n" for each in values).encode()


def task(number: int, text: str, request: str) -> dict:
    """Return a task of Label Studio's export; its own ``id`` is no request id."""
    result = [{"value": {"choices": ["positive"]}}]
    data = {"id": request, "index": 0, "text": text}
    return {"id": number, "data": data, "annotations": [{"result": result}]}


ITEM = {"request_id": "r2", "index": 0, "text": OTHER}
QUEUE = {"until": "2026-11-20T00:00:00+00:00", "classes": ["negative"], "items": [ITEM]}
FILES = {
    "2026-11-20/a.jsonl": (
        lines(event(MASKED, "r7"), event(OTHER), event(None, "r1")),
        lines(event(OTHER)),
    ),
    "feedback/2026-11-20/a.jsonl": (
        lines(event(None, "r1"), event(None, "r1", 1)),
        lines(event(None, "r1", 1)),
    ),
    "q/queue.json": (
        json.dumps(QUEUE | {"items": [ITEM, ITEM | {"text": MASKED}]}, indent=1).encode(),
        (json.dumps(QUEUE, indent=1) + "\n").encode(),
    ),
    "q/label-studio.json": (
        json.dumps([task(1, MASKED, "r5"), task(2, OTHER, "r2")]).encode(),
        (json.dumps([task(2, OTHER, "r2")]) + "\n").encode(),
    ),
    "q/items.csv": (
        csv_of(["request_id", "index", "text"], ["r5", 0, MASKED], ["r2", 0, "two\nlines, ü"]),
        csv_of(["request_id", "index", "text"], ["r2", 0, "two\nlines, ü"]),
    ),
    "q/labels.csv": (
        csv_of(["id", "index", "label"], ["r1", "0.0", "x"], ["r1", 1, "x"], separator=";"),
        csv_of(["id", "index", "label"], ["r1", 1, "x"], separator=";"),
    ),
    "q/labels.jsonl": (
        lines({"id": "r1", "index": 0, "label": "x"}) + b'{"cut off',
        b'{"cut off',
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_records_of_a_text_are_removed(wanted, name):
    before, after = FILES[name]
    kept, removed = contents.without(name, before, wanted)
    assert kept == after
    assert removed == (2 if name == "2026-11-20/a.jsonl" else 1)
    assert contents.without(name, kept, wanted) == (after, 0)


def test_rows_of_a_table_are_removed_with_its_metadata_kept(wanted):
    table = pa.table({"text": [OTHER, TEXT], "label": ["a", "b"], "by": [None, "page"]})
    table = table.replace_schema_metadata({"classes": '["a", "b"]'})
    output = io.BytesIO()
    pq.write_table(table, output)
    kept, removed = contents.without("labelled.parquet", output.getvalue(), wanted)
    assert removed == 1
    assert pq.read_table(io.BytesIO(kept)).equals(table.slice(0, 1), check_metadata=True)


def test_a_label_equal_to_a_text_removes_nothing():
    """To forget the text "positive" must not delete all that is labelled positive."""
    wanted = Wanted()
    wanted.add_text("--text-file a.txt", "Positive")
    before = lines(event(OTHER), event("positive"))
    assert contents.without("a.jsonl", before, wanted) == (lines(event(OTHER)), 1)


def test_another_text_with_the_id_of_a_forgotten_one_stays(wanted, tmp_path):
    """Clients choose ids: one that sends the same id each time must not lose all its texts."""
    before = lines(event(OTHER, "r1"), event(TEXT, "r1"))
    assert contents.without("a.jsonl", before, wanted) == (lines(event(OTHER, "r1")), 1)
    (tmp_path / "a.jsonl").write_bytes(before)
    for request in (Request("r1", 0), Request("r1", None)):
        with pytest.raises(UserError, match=f"2 texts have this id.*{identity(OTHER)}"):
            removal.find_requests([Folder(tmp_path)], [request], Wanted())


def test_a_text_outside_of_the_columns_is_told(wanted):
    for content in (csv_of([TEXT, "x"], ["a", "b"]), csv_of(["text"], ["a", TEXT])):
        assert contents.texts_elsewhere("labels.csv", content, wanted) == 1
    output = io.BytesIO()
    pq.write_table(pa.table({"review": [TEXT, OTHER]}), output)
    assert contents.texts_elsewhere("labels.parquet", output.getvalue(), wanted) == 1


def test_a_text_in_another_field_is_told(wanted):
    content = csv_of(["review", "label"], [TEXT, "x"], [OTHER, "y"])
    assert contents.without("labels.csv", content, wanted) == (content, 0)
    assert contents.texts_elsewhere("labels.csv", content, wanted) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.json", b"[{", "not JSON"),
        ("labels.csv", b"text\n\xff\xfe\n", "not CSV in UTF-8"),
        ("labels.csv", b'text\na\n"b\n' + TEXT.encode(), "not CSV.*unexpected end"),
        ("labels.parquet", b"PAR1", "not a Parquet file"),
        ("labels.xlsx", b"PK", "a format that forget does not know"),
        ("labels.json", json.dumps({"text": TEXT}).encode(), "in no element of a list"),
    ],
)
def test_what_cannot_be_read_is_said(wanted, name, content, message):
    with pytest.raises(NotReadableError, match=message):
        contents.without(name, content, wanted)
        contents.texts_elsewhere(name, content, wanted)


def test_the_list_holds_each_identity_once(tmp_path):
    path = tmp_path / "forgotten.csv"
    assert listed.read(str(path)) == {}
    assert listed.add(str(path), {"b" * 32, "a" * 32}) == 2
    first = path.read_text()
    assert listed.add(str(path), {"b" * 32}) == 0
    assert path.read_text() == first
    assert listed.add(str(path), {"c" * 32}) == 1
    assert path.read_text().startswith(first)
    assert [*listed.read(str(path))] == ["a" * 32, "b" * 32, "c" * 32]


@pytest.mark.parametrize(
    ("address", "message"),
    [("", "names no file"), ("https://host/list.csv", "a file or s3://bucket/key is wanted")],
)
def test_a_list_that_cannot_be_written_is_an_error(address, message):
    with pytest.raises(UserError, match=f"ingest.forgotten.*{message}"):
        listed.require_address(address)


def run(read: str, **wrote: str) -> StageRun:
    return StageRun(frozenset(read.split()), tuple(wrote.items()))


def test_what_comes_from_a_text_is_found_by_the_record():
    runs = [
        run("code source", data="with"),
        run("code with", train="t1.dir", test="same"),
        run("code t1.dir", model="m1", selection="selected"),
        run("m1 selected", metrics="x1"),
        run("code source list", data="without"),
        run("code without", train="t2.dir", test="same"),
        run("code t2.dir", model="m2", selection="selected"),
        run("m2 selected", metrics="x2"),
    ]
    members = {"t1.dir": ["a", "b"], "t2.dir": ["b"]}
    assert lineage.held({"with", "a"}, runs, members) == {"with", "a", "t1.dir", "m1", "x1"}
    assert lineage.held({"a"}, runs, members) == {"a", "t1.dir", "m1", "x1"}
    assert lineage.held(set(), runs, members) == set()


def test_all_committed_locks_are_read(tmp_path, monkeypatch):
    """Also of a branch that is not checked out, and of a lock that was deleted since."""
    import subprocess

    monkeypatch.chdir(tmp_path)

    def git(*arguments: str) -> None:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
        subprocess.run(command, check=True, capture_output=True)

    def lock(md5: str) -> None:
        out = {"path": "data/reviews.parquet", "md5": md5}
        stage = {"cmd": "x", "deps": [{"path": "code", "md5": "c"}], "outs": [out]}
        Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"ingest": stage}}))
        git("add", ".")
        git("commit", "-qm", md5)

    git("init", "-q")
    lock("1")
    git("checkout", "-q", "-b", "other")
    lock("2")
    git("checkout", "-q", "-")
    git("rm", "-q", "dvc.lock")
    git("commit", "-qm", "none")
    assert lineage.present() == []
    found = lineage.runs(tmp_path / "runs")
    assert {run.wrote for run in found} == {(("data/reviews.parquet", each),) for each in "12"}
    assert all(run.read == {"c"} for run in found)


def test_the_lock_of_this_project_is_read(monkeypatch):
    monkeypatch.chdir(REPO)
    paths = {path for run in lineage.present() for path, _ in run.wrote}
    assert {"data/reviews.parquet", "data/train", "models/sentiment"} <= paths


def test_the_file_behind_a_link_loses_the_text(tmp_path, wanted):
    """A certificate would otherwise call a text removed that is still where the link points."""
    disk, captured = tmp_path / "disk", tmp_path / "captured"
    write(disk, "kept.jsonl", "gone.jsonl", "day/a.jsonl")
    captured.mkdir()
    (disk / "kept.jsonl").write_bytes(lines(event(TEXT), event(OTHER)))
    (disk / "gone.jsonl").write_bytes(lines(event(TEXT)))
    for each in ("kept.jsonl", "gone.jsonl", "day"):
        (captured / each).symlink_to(disk / each)
    done = [*removal.remove(Folder(captured), "prediction", wanted)]
    assert (disk / "kept.jsonl").read_bytes() == lines(event(OTHER))
    assert (captured / "kept.jsonl").is_symlink()
    assert not (disk / "gone.jsonl").exists()
    assert not (captured / "gone.jsonl").is_symlink()
    assert f"{captured}/day" in {each.place for each in done if isinstance(each, Left)}


def test_other_names_of_a_file_and_unfinished_files_are_told(tmp_path, wanted):
    write(tmp_path, "a.jsonl", ".b.jsonl.partial")
    (tmp_path / "copy.txt").hardlink_to(tmp_path / "a.jsonl")
    left = {each.place: each.why for each in removal.remove(Folder(tmp_path), "x", wanted)}
    assert "hard links" in left[f"{tmp_path}/a.jsonl"]
    assert "being written" in left[f"{tmp_path}/.b.jsonl.partial"]


def test_what_a_killed_join_left_is_deleted(tmp_path, wanted):
    partial = tmp_path / ".labelled.parquet.partial"
    pq.write_table(pa.table({"text": [TEXT]}), partial)
    os.utime(partial, (0, 0))
    (done,) = removal.remove(Folder(tmp_path, "labelled.parquet"), "table", wanted)
    assert (done.what, done.place) == ("replaced version", f"{tmp_path}/.labelled.parquet.partial")
    assert not partial.exists()


def test_files_of_the_project_that_cannot_be_read_are_told(tmp_path, wanted):
    for name in ("a.parquet", "a.json"):
        (tmp_path / name).write_bytes(b"{" + TEXT.encode())
    (tmp_path / "a.CSV").write_bytes(csv_of(["text"], [TEXT]))
    left = {each.place: each.why for each in sightings.other_files((str(tmp_path),), wanted)}
    assert left[f"{tmp_path}/a.CSV"].startswith("1 records hold it")
    assert left[f"{tmp_path}/a.parquet"].startswith("not searched")
    assert left[f"{tmp_path}/a.json"].startswith("not searched")


def test_planned_objects_of_an_interrupted_run_are_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    removed = [Removed("DVC's cache: " + "1" * 32, certificate.OBJECT, 1, "md5:" + "1" * 32)]
    made = Certificate("2026", False, [], "x", removed, [], [], [], planned=["2" * 32])
    certificate.write(made)
    assert certificate.objects() == {"1" * 32, "2" * 32}


NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}\n")


def test_captures_and_feedback_expire_by_day(tmp_path):
    old = ("2026-10-29/a.jsonl", "2026-10-29/b.jsonl", "feedback/2026-10-01/a.jsonl")
    young = ("2026-10-30/a.jsonl", "feedback/2026-11-29/a.jsonl", "2026-13-01/a.jsonl", "notes.txt")
    write(tmp_path, *old, *young)
    deleted = expiry.expire(Folder(tmp_path), 30, NOW)
    assert deleted == {f"{tmp_path}/2026-10-29/": 2, f"{tmp_path}/feedback/2026-10-01/": 1}
    assert {
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*") if path.is_file()
    } == {*young}
    assert not (tmp_path / "2026-10-29").exists()
    assert not expiry.expire(Folder(tmp_path), 30, NOW)


def test_queues_expire_by_their_draw(tmp_path):
    write(tmp_path, "old/queue.json", "old/labels.csv", "new/queue.json", "plain/queue.json")
    (tmp_path / "old/queue.json").write_text('{"since": "", "until": "2026-10-01T00:00:00+00:00"}')
    (tmp_path / "new/queue.json").write_text('{"until": "2026-11-20T00:00:00+00:00"}')
    os.utime(tmp_path / "new/queue.json", (0, 0))
    os.utime(tmp_path / "plain/queue.json", (0, 0))
    deleted = expiry.expire(Folder(tmp_path), 30, NOW, queues=True)
    assert deleted == {f"{tmp_path}/old": 2, f"{tmp_path}/plain": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
