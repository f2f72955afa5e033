"""Ingest and DVC against a SeaweedFS server, which checks credentials."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from components.io import reviews
from pipelines.local import _upload_files, s3_client, s3_server
from tests.conftest import REPO, assert_one_line

BUCKET = "sentiment"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment that AWS's own tools read."""
    with s3_server(tmp_path_factory.mktemp("s3")) as environment:
        client = s3_client(environment)
        client.create_bucket(Bucket=BUCKET)
        body = b"text,label\ngood film,pos\nbad film,neg\n"
        client.put_object(Bucket=BUCKET, Key="in/mine.csv", Body=body)
        yield environment


def test_ingest_from_s3(stage, s3, tmp_path):
    source = f"s3://{BUCKET}/in/mine.csv"
    result = stage("ingest", "--source", source, "--output", "r.parquet", **s3)
    assert result.returncode == 0, result.stderr
    assert reviews.read(tmp_path / "r.parquet")["text"].tolist() == ["good film", "bad film"]


def test_ingest_all_shards_under_a_prefix(stage, s3, tmp_path):
    client = s3_client(s3)
    for number in range(1003):  # a page of a listing has 1,000
        body = f"text,label\nreview {number:04},{number % 2}\n".encode()
        client.put_object(Bucket=BUCKET, Key=f"many/part-{number:04}.csv", Body=body)
    client.put_object(Bucket=BUCKET, Key="many/_SUCCESS", Body=b"")
    client.put_object(Bucket=BUCKET, Key="many-others/part.csv", Body=b"text,label\nno,1\n")
    result = stage("ingest", "--source", f"s3://{BUCKET}/many/", "--output", "r.parquet", **s3)
    assert result.returncode == 0, result.stderr
    table = reviews.read(tmp_path / "r.parquet")
    assert table["text"].tolist() == [f"review {number:04}" for number in range(1003)]
    assert set(table["source"]) == {"many"}
    none = stage("ingest", "--source", f"s3://{BUCKET}/few/", "--output", "n.parquet", **s3)
    assert_one_line(none, f"s3://{BUCKET}/few/", "no object with this prefix")


def test_content_is_told_by_entity_tags(stage, s3, tmp_path):
    client = s3_client(s3)

    def content(source: str, text: str) -> str:
        for key in ("tags/a.csv", "tags/b.csv"):
            client.put_object(Bucket=BUCKET, Key=key, Body=f"text,label\n{text},1\n".encode())
        flags = ["--source", f"s3://{BUCKET}/{source}", "--content", "content.json"]
        result = stage("source", *flags, **s3)
        assert result.returncode == 0, result.stderr
        (found,) = json.loads((tmp_path / "content.json").read_text()).values()
        return str(found)

    for source, kind in (("tags/a.csv", "etag:"), ("tags/", "etags:")):
        found = [content(source, text) for text in ("one", "one", "two")]
        assert found[0] == found[1] != found[2]
        assert all(each.startswith(kind) for each in found)


def test_local_files_of_a_pipeline_are_uploaded(s3, tmp_path, monkeypatch):
    """Of each parameter, and of each of the other sources: two may have one name."""
    monkeypatch.chdir(tmp_path)
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text(f"text,label\n{folder},1\n")
    others = {
        "x": "old/a.csv",
        "y": {"source": "new/a.csv", "format": "csv"},
        "z": "builtin",
        "w": {},
    }
    given = {"source": "new/a.csv", "exclude": "old/a.csv", "other_sources": others, "name": "a"}
    found = _upload_files(given, s3)
    other = "s3://inputs/other_sources"
    assert found == {
        "source": "s3://inputs/source/a.csv",
        "exclude": "s3://inputs/exclude/a.csv",
        "other_sources": {
            "x": f"{other}/x/a.csv",
            "y": {"source": f"{other}/y/a.csv", "format": "csv"},
            "z": "builtin",
            "w": {},
        },
        "name": "a",
    }
    body = s3_client(s3).get_object(Bucket="inputs", Key="other_sources/y/a.csv")["Body"]
    assert body.read() == b"text,label\nnew,1\n"


def test_missing_object_and_wrong_secret(stage, s3, tmp_path):
    source = f"s3://{BUCKET}/in/none.csv"
    assert_one_line(stage("ingest", "--source", source, "--output", "r.parquet", **s3), source)
    wrong = s3 | {"AWS_SECRET_ACCESS_KEY": "another-secret"}
    source = f"s3://{BUCKET}/in/mine.csv"
    result = stage("ingest", "--source", source, "--output", "r.parquet", **wrong)
    assert_one_line(result, source)
    assert "another-secret" not in result.stderr
    assert not list(tmp_path.iterdir())


def dvc(directory, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=directory,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_dvc_pulls_lost_data_from_s3(s3, tmp_path):
    """Add the remote and push; delete cache and data; pull."""
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    for name in (".dvc/config", ".dvcignore"):
        (project / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPO / name, project / name)
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    (project / "data/reviews.csv").write_text("text,label\ngood,1\n")
    assert dvc(project, "add", "data/reviews.csv").returncode == 0
    url = f"s3://{BUCKET}/dvc"
    added = dvc(project, "remote", "add", "--default", "--force", "storage", url)
    assert added.returncode == 0, added.stderr
    pushed = dvc(project, "push", **s3)
    assert pushed.returncode == 0, pushed.stderr
    shutil.rmtree(project / ".dvc/cache")
    (project / "data/reviews.csv").unlink()
    pulled = dvc(project, "pull", **s3)
    assert pulled.returncode == 0, pulled.stderr
    assert (project / "data/reviews.csv").read_text() == "text,label\ngood,1\n"
