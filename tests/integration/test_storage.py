"""Files in storage that fsspec knows, by its own storage in memory."""

import fsspec
import pytest

from components import ingest
from components.errors import UserError
from components.io import accounts, reviews
from components.reading.content import identify
from components.reading.options import Options
from tests.conftest import assert_one_line

ROWS = "text,label\ngood {0},1\nbad {0},0\n"


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    for name in ("a.csv", "sub/b.csv", "_SUCCESS", "notes.txt"):
        system.pipe(f"/shop/{name}", ROWS.format(name).encode())
    yield system
    system.rm("/shop", recursive=True)


def test_a_file_and_a_folder_are_read(memory, tmp_path):
    path = tmp_path / "r.parquet"
    account = ingest.ingest(Options("memory://shop/sub/b.csv"), path)
    assert [(each.file, each.kept) for each in account] == [("memory://shop/sub/b.csv", 2)]
    assert reviews.read(path)["text"].tolist() == ["good sub/b.csv", "bad sub/b.csv"]
    assert set(reviews.read(path)["source"]) == {"b"}
    account = ingest.ingest(Options("memory://shop/"), path)
    assert [each.file for each in account] == ["memory://shop/a.csv", "memory://shop/sub/b.csv"]
    assert reviews.read(path)["text"].tolist()[::2] == ["good a.csv", "good sub/b.csv"]
    assert accounts.content(path) == identify(Options("memory://shop/"))


def test_excluded_texts_are_read_from_there(memory, tmp_path):
    memory.pipe("/shop/wrong.list", f"id\n{reviews.identity('good a.csv')}\n".encode())
    options = Options("memory://shop/a.csv", exclude="memory://shop/wrong.list")
    (account,) = ingest.ingest(options, tmp_path / "r.parquet")
    assert account.dropped == {"excluded": 1}


def test_content_is_that_of_the_files(memory):
    options = Options("memory://shop/")
    first = identify(options)
    memory.pipe("/shop/a.csv", ROWS.format("a.csv").encode())  # later, and the same
    assert identify(options) == first
    memory.pipe("/shop/a.csv", ROWS.format("c.csv").encode())
    second = identify(options)
    assert second != first
    memory.mv("/shop/sub/b.csv", "/shop/sub/c.csv")
    assert identify(options) != second


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("memory://shop/sub", "memory://shop/sub: a folder; write a slash at its end"),
        ("memory://shop/none.csv", "memory://shop/none.csv: no such file"),
        ("memory://none/", "memory://none/: no object with this prefix ends in .csv"),
    ],
)
def test_wrong_address_is_the_users(memory, tmp_path, address: str, words: str):
    for run in (
        lambda: ingest.ingest(Options(address), tmp_path / "r"),
        lambda: identify(Options(address)),
    ):
        with pytest.raises(UserError) as raised:
            run()
        assert words in str(raised.value)


@pytest.mark.parametrize(("address", "package"), [("gs://a/b.csv", "gcsfs"), ("az://a/", "adlfs")])
def test_missing_driver_is_named(stage, address: str, package: str):
    for name, output in (("ingest", "--output"), ("source", "--content")):
        assert_one_line(stage(name, "--source", address, output, "out"), address, package)


def test_unknown_scheme_names_the_known(stage):
    result = stage("ingest", "--source", "gopher://a/b.csv", "--output", "r.parquet")
    assert_one_line(result, "gopher://a/b.csv: unknown kind of source; use a file, s3://")
