"""components.forget on folders and on S3 (SeaweedFS): captures, feedback, queues, versions, age."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.io.reviews import identity
from pipelines.local import s3_client, s3_server
from tests.conftest import REPO, assert_one_line

TEXT = "Dreadful, says mary@example.org"
MASKED = "Dreadful, says [email]"
OTHER = "A fine film"
BUCKET = "captures"


def prediction(text: str, request: str, index: int = 0) -> str:
    data = {"request_id": request, "index": index, "text": text, "label": "negative"}
    return json.dumps({"id": f"{request}-{index}", "type": "sentiment.prediction", "data": data})


def feedback(request: str, index: int = 0) -> str:
    data = {"request_id": request, "index": index, "label": "positive"}
    return json.dumps({"id": f"f-{request}", "type": "sentiment.feedback", "data": data})


CAPTURED = {
    "2026-11-20/a.jsonl": [prediction(MASKED, "r1"), prediction(OTHER, "r1", 1)],
    "2026-11-21/b.jsonl": [prediction(MASKED.upper(), "r2")],
    "feedback/2026-11-22/c.jsonl": [feedback("r1"), feedback("r1", 1), feedback("r2")],
}
QUEUE = {
    "20261122T000000/queue.json": ['{"until": "2026-11-22T00:00:00+00:00", "items": []}'],
    "20261122T000000/items.csv": [
        "request_id,index,text,label",
        f'r1,0,"{MASKED}",',
        f"r1,1,{OTHER},",
    ],
    "20261122T000000/labels-mine.csv": ["request_id,index,label", "r1,0,positive", "r2,0,x"],
}
LEFT = {
    "2026-11-20/a.jsonl": CAPTURED["2026-11-20/a.jsonl"][1:],
    "feedback/2026-11-22/c.jsonl": CAPTURED["feedback/2026-11-22/c.jsonl"][1:2],
}
LEFT_OF_QUEUE = QUEUE | {
    "20261122T000000/items.csv": [*QUEUE["20261122T000000/items.csv"][::2]],
    "20261122T000000/labels-mine.csv": ["request_id,index,label"],
}


@pytest.fixture
def project(tmp_path) -> Path:
    """A project with a source, captures and a queue; it was never trained."""
    shutil.copy(REPO / "params.yaml", tmp_path)
    params = (tmp_path / "params.yaml").read_text()
    assert "source: builtin " in params
    (tmp_path / "params.yaml").write_text(params.replace("source: builtin ", "source: mine.csv "))
    (tmp_path / "mine.csv").write_text(f'text,label\n"{TEXT}",0\n{OTHER},1\n')
    for folder, files in (("captured", CAPTURED), ("queues", QUEUE)):
        for name, lines in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "text.txt").write_text(f"{TEXT}\n")
    return tmp_path


PLACES = ("--captured", "captured", "--queues", "queues")


def lines(folder: Path) -> dict[str, list[str]]:
    return {
        str(path.relative_to(folder)): path.read_text().splitlines()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def certificate(project: Path) -> dict:
    newest = sorted((project / "reports/forgotten").glob("*.json"))[-1]
    assert TEXT not in newest.read_text() + newest.with_suffix(".md").read_text()
    return json.loads(newest.read_text())


@pytest.mark.parametrize(
    "named",
    [
        ("--text-file", "text.txt"),
        ("--id", identity(TEXT)),
        ("--id", "r1/0"),
        ("--id", "r2"),
    ],
)
def test_text_is_removed_however_it_is_named(stage, project, named):
    result = stage("forget", *named, *PLACES, "--no-train")
    assert result.returncode == 0, result.stderr
    assert lines(project / "captured") == LEFT
    assert lines(project / "queues") == LEFT_OF_QUEUE
    made = certificate(project)
    assert {identity(TEXT), identity(MASKED)} == {*made["identities"]}
    assert (project / "forgotten.csv").read_text().count("\n") == 3
    assert {
        kind: sum(each["records"] for each in made["removed"] if each["what"] == kind)
        for kind in ("prediction", "feedback", "queue")
    } == {"prediction": 2, "feedback": 2, "queue": 3}
    left = {each["place"]: each["why"] for each in made["left"]}
    assert "forget does not edit" in left["mine.csv"]
    assert "--no-train" in left["data, models, reports, DVC's cache"]
    assert made["without"] is False
    again = stage("forget", "--listed", *PLACES, "--no-train")
    assert again.returncode == 0, again.stderr
    assert certificate(project)["removed"] == []
    assert lines(project / "captured") == LEFT


def test_a_request_is_not_its_other_texts(stage, project):
    result = stage("forget", "--id", "r1/1", *PLACES, "--no-train")
    assert result.returncode == 0, result.stderr
    found = lines(project / "captured")
    assert found["2026-11-20/a.jsonl"] == CAPTURED["2026-11-20/a.jsonl"][:1]
    assert found["2026-11-21/b.jsonl"] == CAPTURED["2026-11-21/b.jsonl"]


def test_dry_run_changes_nothing(stage, project):
    before = lines(project)
    result = stage("forget", "--text-file", "text.txt", *PLACES, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert lines(project) == before
    assert "captured/2026-11-20/a.jsonl: 1 records to remove" in result.stdout
    assert "mine.csv: 1 rows of this source hold it" in result.stdout
    assert TEXT not in result.stdout + result.stderr


def test_what_a_killed_predictor_left_is_deleted(stage, project):
    import os

    cut = project / "captured/2026-11-20/.z.jsonl.partial"
    cut.write_text(prediction(MASKED, "r9")[:-9])
    young = project / "captured/2026-11-20/.y.jsonl.partial"
    young.write_text("{")
    os.utime(cut, (0, 0))
    result = stage("forget", "--text-file", "text.txt", *PLACES, "--no-train")
    assert result.returncode == 0, result.stderr
    assert not cut.exists()
    assert young.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--text-file", "none.txt"), ("--text-file none.txt", "No such file")),
        (("--text-file", "empty.txt"), ("empty.txt", "holds no text")),
        (
            ("--text-file", "unknown.txt"),
            ("--text-file unknown.txt: found nowhere in", "captured/"),
        ),
        (("--id", "f" * 32), (f"--id {'f' * 32}: found nowhere in", "sources of ingest")),
        (("--id", "r7/0"), ("--id r7/0: no such captured prediction in captured/",)),
        (("--id", "r1/1/2"), ("--id r1/1/2: not 32 hexadecimal digits",)),
        (("--listed",), ("--listed: forgotten.csv lists no text",)),
    ],
)
def test_mistakes_are_one_line(stage, project, arguments, words):
    (project / "empty.txt").write_text(" \n")
    (project / "unknown.txt").write_text("never seen")
    before = lines(project)
    assert_one_line(stage("forget", *arguments, *PLACES, "--no-train"), *words)
    assert lines(project) == before


def test_without_a_list_nothing_is_forgotten(stage, project):
    params = (
        (project / "params.yaml").read_text().replace("forgotten: forgotten.csv", "exclude: ''")
    )
    (project / "params.yaml").write_text(params)
    result = stage("forget", "--text-file", "text.txt", *PLACES)
    assert_one_line(result, "ingest.forgotten of params.yaml names no file")


def test_places_must_exist(stage, project):
    flags = ("--text-file", "text.txt", "--captured")
    assert_one_line(stage("forget", *flags, "nowhere"), "--captured nowhere: no such folder")
    assert_one_line(stage("forget", *flags, "gs://a/b"), "not a folder or s3://bucket/prefix/")


def test_captures_expire_by_age(stage, project):
    today = datetime.now(UTC).date()
    for days in (29, 30, 31, 32):
        for folder in ("", "feedback/"):
            path = project / f"young/{folder}{today - timedelta(days)}/a.jsonl"
            path.parent.mkdir(parents=True)
            path.write_text("{}\n")
    flags = ("--older-than", "30", "--captured", "young")
    assert "young/: would delete 4 files" in stage("forget", *flags, "--dry-run").stderr
    assert len(lines(project / "young")) == 8
    result = stage("forget", *flags)
    assert result.returncode == 0, result.stderr
    assert "young/: deleted 4 files" in result.stderr
    assert len(lines(project / "young")) == 4
    assert_one_line(stage("forget", "--older-than", "30"), "needs --captured or --queues")


@pytest.fixture(scope="module")
def s3(tmp_path_factory) -> dict[str, str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as environment:
        client = s3_client(environment)
        client.create_bucket(Bucket=BUCKET)
        status = {"Status": "Enabled"}
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=status)
        yield environment


def stored(client, prefix: str) -> dict[str, list[str]]:
    """Return the lines of all versions of the objects beneath a prefix."""
    found: dict[str, list[str]] = {}
    for each in client.list_object_versions(Bucket=BUCKET, Prefix=prefix).get("Versions", []):
        key, version = each["Key"], each["VersionId"]
        body = client.get_object(Bucket=BUCKET, Key=key, VersionId=version)["Body"].read()
        found.setdefault(key.removeprefix(prefix), []).extend(body.decode().splitlines())
    return found


def upload(client, prefix: str, files: dict[str, list[str]]) -> None:
    for name, content in files.items():
        body = "".join(f"{line}\n" for line in content).encode()
        client.put_object(Bucket=BUCKET, Key=prefix + name, Body=body)


def test_text_is_removed_from_s3_with_replaced_versions(stage, project, s3):
    client = s3_client(s3)
    upload(client, "x/", CAPTURED)
    upload(client, "q/", QUEUE)
    upload(client, "xy/", CAPTURED)  # another prefix
    params = (project / "params.yaml").read_text()
    address = f"s3://{BUCKET}/lists/forgotten.csv"
    (project / "params.yaml").write_text(
        params.replace("forgotten: forgotten.csv", f"forgotten: {address}")
    )
    places = ("--captured", f"s3://{BUCKET}/x/", "--queues", f"s3://{BUCKET}/q")
    result = stage("forget", "--text-file", "text.txt", *places, "--no-train", **s3)
    assert result.returncode == 0, result.stderr
    assert stored(client, "x/") == LEFT
    assert stored(client, "q/") == LEFT_OF_QUEUE
    assert stored(client, "xy/") == CAPTURED
    assert sum(identity(TEXT) in line for line in stored(client, "lists/")["forgotten.csv"]) == 1
    made = certificate(project)
    replaced = [each for each in made["removed"] if each["what"] == "replaced version"]
    assert len(replaced) == 5
    again = stage("forget", "--listed", *places, "--no-train", **s3)
    assert again.returncode == 0, again.stderr
    assert certificate(project)["removed"] == []


def test_a_text_in_replaced_versions_alone_is_found(stage, project, s3):
    """A lifecycle rule deletes captures of a bucket with versions: the versions stay for a time."""
    client = s3_client(s3)
    name = "2026-11-20/a.jsonl"
    upload(client, "deleted/", {name: [prediction("Only here, twice over", "r5")]})
    client.delete_object(Bucket=BUCKET, Key=f"deleted/{name}")
    (project / "text.txt").write_text("Only here, twice over")
    places = ("--captured", f"s3://{BUCKET}/deleted/")
    result = stage("forget", "--text-file", "text.txt", *places, "--no-train", **s3)
    assert result.returncode == 0, result.stderr
    assert stored(client, "deleted/") == {}


def test_captures_on_s3_expire_with_replaced_versions(stage, project, s3):
    client = s3_client(s3)
    today = datetime.now(UTC).date()
    old, young = f"{today - timedelta(31)}/a.jsonl", f"feedback/{today}/a.jsonl"
    upload(client, "old/", {old: ["1"], young: ["1"]})
    upload(client, "old/", {old: ["2"]})
    flags = ("--older-than", "30", "--captured", f"s3://{BUCKET}/old/")
    result = stage("forget", *flags, **s3)
    assert result.returncode == 0, result.stderr
    assert stored(client, "old/") == {young: ["1"]}


def test_an_unknown_bucket_is_one_line(stage, project, s3):
    flags = ("--text-file", "text.txt", "--captured", "s3://no-such-bucket/x/", "--no-train")
    assert_one_line(stage("forget", *flags, **s3), "s3://no-such-bucket/x/", "NoSuchBucket")
