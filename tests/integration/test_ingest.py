"""Every kind of source and every kind of bad input, through the command line."""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
import yaml

from components import ingest
from components.io import reviews
from components.reading.options import Options
from tests.conftest import REPO, assert_one_line, run_stages

TEXTS = ['He said: "fine",\nthen left.', "NA", "Ünïcödé 😀", "plain"]
ROWS = pd.DataFrame({"text": TEXTS, "label": ["positive", "neg", "1", 0]})


def write(frame: pd.DataFrame, path) -> None:
    {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        ".jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        ".parquet": lambda: frame.astype({"label": str}).to_parquet(path),
    }[path.suffix]()


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_formats(stage, tmp_path, ending):
    write(ROWS, tmp_path / f"mine.{ending}")
    result = stage("ingest", "--source", f"mine.{ending}", "--output", "out/reviews.parquet")
    assert result.returncode == 0, result.stderr
    table = reviews.read(tmp_path / "out/reviews.parquet")
    assert table["text"].tolist() == TEXTS
    assert table["label"].tolist() == [1, 0, 1, 0]
    assert set(table["source"]) == {"mine"}


def test_flags_for_columns_and_format(stage, tmp_path):
    ROWS.rename(columns={"text": "body", "label": "stars"}).to_csv(tmp_path / "x.data", index=False)
    flags = ["--text-column", "body", "--label-column", "stars", "--format", "csv"]
    result = stage("ingest", "--source", "x.data", "--output", "r.parquet", *flags)
    assert result.returncode == 0, result.stderr
    assert len(reviews.read(tmp_path / "r.parquet")) == 4


def test_flag_for_encoding(stage, tmp_path):
    (tmp_path / "old.csv").write_bytes("text,label\ncaf\xe9,pos\n".encode("latin-1"))
    result = stage(
        "ingest", "--source", "old.csv", "--output", "r.parquet", "--encoding", "latin-1"
    )
    assert result.returncode == 0, result.stderr
    assert reviews.read(tmp_path / "r.parquet")["text"].tolist() == ["café"]


def test_folder_is_read_in_order_of_names(stage, tmp_path):
    """As Spark and others leave one: parts, in folders of their own, beside marks."""
    shards = tmp_path / "shards"
    (shards / "b").mkdir(parents=True)
    write(ROWS.iloc[2:], shards / "b" / "part-0.csv")
    write(ROWS.iloc[:2], shards / "a.parquet")
    (shards / "_SUCCESS").write_text("")
    (shards / "_half.csv").write_text("no,review")
    (shards / ".hidden.csv").write_text("no,review")
    (shards / "notes.txt").write_text("no data")
    result = stage("ingest", "--source", "shards/", "--output", "r.parquet")
    assert result.returncode == 0, result.stderr
    assert "not read: .hidden.csv, _SUCCESS, _half.csv, notes.txt" in result.stderr
    table = reviews.read(tmp_path / "r.parquet")
    assert table["text"].tolist() == TEXTS
    assert set(table["source"]) == {"shards"}
    (shards / "c.csv").write_text("text,label\nx,1\ny,maybe\n")
    bad = stage("ingest", "--source", "shards", "--output", "none.parquet")
    assert_one_line(bad, "shards/c.csv, line 3", "'maybe'")
    assert not (tmp_path / "none.parquet").exists()


def test_folder_without_endings_needs_format(stage, tmp_path):
    (tmp_path / "parts").mkdir()
    for number in range(2):
        ROWS.to_csv(tmp_path / "parts" / f"part-{number}", index=False)
    none = stage("ingest", "--source", "parts", "--output", "r.parquet")
    assert_one_line(none, "parts", "no file in this folder ends in .csv")
    result = stage("ingest", "--source", "parts", "--output", "r.parquet", "--format", "csv")
    assert result.returncode == 0, result.stderr
    assert len(reviews.read(tmp_path / "r.parquet")) == 8


class Server(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/short.csv":
            super().do_GET()
            return
        self.send_response(200)  # and breaks off
        self.send_header("content-length", "999")
        self.end_headers()
        self.wfile.write(b"text,label\ngood,1\nb,0"[:20])


def test_source_on_the_web(stage, tmp_path):
    ROWS.to_csv(tmp_path / "web.csv", index=False)
    handler = functools.partial(Server, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        result = stage("ingest", "--source", f"{address}/web.csv?x=1", "--output", "r.parquet")
        assert result.returncode == 0, result.stderr
        assert len(reviews.read(tmp_path / "r.parquet")) == 4
        flags = ["--source", f"{address}/web.csv", "--content", "content.json"]
        assert stage("source", *flags).returncode == 0
        modified = json.loads((tmp_path / "content.json").read_text())["web"]
        assert modified.startswith("modified:")
        short = stage("ingest", "--source", f"{address}/short.csv", "--output", "none.parquet")
        assert_one_line(short, "short.csv", "20 of 999 bytes", exit_code=4)
        missing = stage("ingest", "--source", f"{address}/no.csv", "--output", "none.parquet")
        assert_one_line(missing, "no.csv", "404")
        server.shutdown()
    gone = stage("ingest", "--source", f"{address}/web.csv", "--output", "none.parquet")
    assert_one_line(gone, "web.csv", "refused", exit_code=4)
    assert not (tmp_path / "none.parquet").exists()


def test_rotten_tomatoes(stage, tmp_path):
    result = stage("ingest", "--source", "builtin:rotten_tomatoes", "--output", "r.parquet")
    assert result.returncode == 0, result.stderr
    table = reviews.read(tmp_path / "r.parquet")
    assert len(table) == 8530
    assert set(table["source"]) == {"rotten_tomatoes"}


BAD = {
    "empty.csv": (b"", ["empty.csv", "empty"]),
    "header.csv": (b"text,label\n", ["header.csv", "no reviews"]),
    "column.csv": (b"body,label\nx,1\n", ["column.csv", "no column 'text'", "--text-column"]),
    "label.csv": (b"text,label\nx,1\ny,maybe\n", ["label.csv, line 3", "'maybe'"]),
    "unlabelled.csv": (b"text,label\nx,1\ny,\n", ["unlabelled.csv, line 3", 'drop: [""]']),
    "ragged.csv": (b"text,label\nx,1\ny,1,2,3\n", ["ragged.csv", "line 3"]),
    "quote.csv": (b'text,label\n"x, z",1\n"y,0\n', ["quote.csv: line 3", "quoting"]),
    "utf8.csv": (b"text,label\n\xff\xfe,1\n", ["utf8.csv: line 2", "utf-8", "set encoding"]),
    "utf8.jsonl": (b'{"text": "\xff", "label": 1}\n', ["utf8.jsonl", "utf-8"]),
    "broken.jsonl": (b'{"text": "x", "label": 1}\n{"te', ["broken.jsonl", "line 2"]),
    "list.jsonl": (b'["x", 1]\n', ["list.jsonl: item 1", "object"]),
    "number.jsonl": (b'{"text": 5, "label": 1}\n', ["number.jsonl: line 1", "not a string"]),
    "half.jsonl": (b'{"text": "\\ud800", "label": 1}\n', ["half.jsonl", "Unicode"]),
    "not.parquet": (b"PAR1 this is none", ["not.parquet", "Parquet"]),
    "what.xls": (b"\xd0\xcf\x11\xe0", ["what.xls", ".xlsx or .csv"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_one_line_and_no_output(stage, tmp_path, name):
    content, words = BAD[name]
    (tmp_path / name).write_bytes(content)
    result = stage("ingest", "--source", name, "--output", "r.parquet")
    assert_one_line(result, *words)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("nowhere.csv", "no such file"),
        ("gopher://host/x.csv", "https://"),
        ("builtin:amazon", "rotten_tomatoes"),
    ],
)
def test_bad_source_is_one_line(stage, source, word):
    result = stage("ingest", "--source", source, "--output", "r.parquet")
    assert_one_line(result, source, word)


def test_validate_reports_the_rows_of_each_file(stage, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("text,label\ngood,5\nmiddle,3\n")
    (tmp_path / "in" / "b.csv").write_text("text,label\nbad,1\n")
    given = ["--labels", "{negative: [1], drop: [3], positive: [5]}"]
    result = stage("ingest", "--source", "in", "--output", "r.parquet", *given)
    assert result.returncode == 0, result.stderr
    said = stage("validate", "--reviews", "r.parquet", "--report", "v.json", "--min-rows", 0)
    line = "in/a.csv: 2 rows read, 1 kept, 1 dropped (label '3')"
    assert f"ingest: {line}" in result.stderr
    assert f"validate: {line}" in said.stderr
    assert json.loads((tmp_path / "v.json").read_text())["files"] == [
        {"file": "in/a.csv", "read": 2, "kept": 1, "dropped": {"label '3'": 1}},
        {"file": "in/b.csv", "read": 1, "kept": 1, "dropped": {}},
    ]


def test_cyrillic_in_western_letters_is_damaged(stage, tmp_path):
    texts = [f"Отличный фильм {n}".encode("cp1251").decode("cp1252") for n in range(200)]
    frame = pd.DataFrame({"text": texts, "label": [0, 1] * 100})
    frame.to_csv(tmp_path / "garbled.csv", index=False)
    assert stage("ingest", "--source", "garbled.csv", "--output", "r.parquet").returncode == 0
    result = stage("validate", "--reviews", "r.parquet", "--report", "v.json")
    assert "damaged 100.00%" in result.stderr


def test_validate_reports_missing_texts(stage, tmp_path):
    rows = [{"text": None, "label": 1}, {"text": float("nan"), "label": 0}, {"label": 1}]
    rows += [{"text": f"review {i}", "label": i % 2} for i in range(200)]
    (tmp_path / "nan.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert stage("ingest", "--source", "nan.jsonl", "--output", "r.parquet").returncode == 0
    assert reviews.read(tmp_path / "r.parquet")["text"].isna().sum() == 3
    result = stage("validate", "--reviews", "r.parquet", "--report", "v.json")
    assert result.returncode == 1
    assert "breach: r.parquet: empty 1.48%, max_empty is 1.00%" in result.stderr
    assert json.loads((tmp_path / "v.json").read_text())["shares"]["empty"] == 3 / 203


def run_all(stage, *split: str) -> dict[str, str]:
    """Run validate, prepare, train and evaluate, and return the first error of each."""
    said = {}
    splits = ["--train", "train", "--valid", "valid", "--test", "test"]
    for name, arguments in {
        "validate": ["--reviews", "r.parquet", "--report", "v.json"],
        "prepare": ["--reviews", "r.parquet", *splits],
        "count": [*splits[:4], "--counts", "counts"],
        "merge": ["--counts", "counts", "--matrix", "matrix"],
        "trial": ["--matrix", "matrix", "--candidates", "default", "--trials", "trials"],
        "select": ["--trials", "trials", "--selection", "selection.json"],
        "train": ["--matrix", "matrix", "--selections", "selection.json", "--model", "model"],
        "evaluate": [
            *("--model", "model", "--train", "train", "--test", "test", "--metrics", "m.json"),
            *("--predictions", "p.parquet", "--plots", "plots", "--findings", "f.json"),
        ],
    }.items():
        result = stage(name, *arguments)
        assert "Traceback" not in result.stderr, result.stderr
        assert result.returncode in (0, 1)
        if result.returncode:
            said[name] = result.stderr
    return said


def test_two_sources_and_groups_from_files_to_figures(tmp_path, imdb):
    own = imdb.iloc[::12]
    films = [f"film {n % 300}" if n % 7 else None for n in range(len(own))]
    frame = pd.DataFrame({"body": own["text"], "stars": own["label"] * 4 + 1, "film": films})
    frame.to_csv(tmp_path / "own.csv", index=False)
    options = Options(
        source=str(tmp_path / "own.csv"),
        text_column="body",
        label_column="stars",
        group_column="film",
        other_sources={"old": "builtin:rotten_tomatoes"},
    )
    ingest.ingest(options, tmp_path / "r.parquet")
    table = reviews.read(tmp_path / "r.parquet")
    found = run_stages(table, tmp_path / "run", given=["default"], max_n=1)
    metrics = json.loads(found.metrics.read_text())
    assert metrics["rows/own"] + metrics["rows/old"] == metrics["rows"]
    for name in ("own", "old"):
        assert 0.6 < metrics[f"accuracy/{name}"] < 1
    assert json.loads(found.findings.read_text())["groups"]["groups"] > 20


def test_one_class_stops_prepare(stage, tmp_path):
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(300)], "label": 1})
    frame.to_csv(tmp_path / "one.csv", index=False)
    assert stage("ingest", "--source", "one.csv", "--output", "r.parquet").returncode == 0
    said = run_all(stage)
    assert "class negative 0.00%, min_class is 10.00%" in said["validate"]
    assert "none of class negative" in said["prepare"]
    assert "train" in said["count"]
    assert "no counts of train and valid" in said["merge"]
    assert not (tmp_path / "model").exists()


def test_100_000_copies_are_read(stage, tmp_path):
    frame = pd.DataFrame({"text": "the very same review", "label": [0, 1] * 50_000})
    frame.to_csv(tmp_path / "copies.csv", index=False)
    assert stage("ingest", "--source", "copies.csv", "--output", "r.parquet").returncode == 0
    said = run_all(stage)
    assert "duplicates 100.00%" in said["validate"]
    assert "more data is needed" in said["prepare"]


def test_review_of_10_megabytes(stage, tmp_path, imdb):
    frame = imdb.iloc[::25][["text", "label"]]
    long = pd.DataFrame({"text": ["good film " * 1_000_000], "label": [1]})
    pd.concat([frame, long]).to_csv(tmp_path / "long.csv", index=False)
    assert stage("ingest", "--source", "long.csv", "--output", "r.parquet").returncode == 0
    said = run_all(stage)
    assert set(said) == {"validate"}
    assert "too_long 0.10%" in said["validate"]


class Project:
    """The stages source and ingest of dvc.yaml, run by DVC in a folder of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        stages = yaml.safe_load((REPO / "dvc.yaml").read_text())["stages"]
        own = {name: stages[name] for name in ("source", "ingest")}
        (directory / "dvc.yaml").write_text(yaml.safe_dump({"stages": own}))
        shutil.copytree(REPO / "components", directory / "components")
        assert self.dvc("init", "--no-scm").returncode == 0

    def dvc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dvc", *arguments]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        given = os.environ | {"PYTHONPATH": str(REPO), "PATH": path}
        return subprocess.run(
            command, cwd=self.directory, env=given, capture_output=True, text=True, timeout=300
        )

    def ran(self, source: str) -> list[str]:
        """Run what is out of date, and return the stages that ran."""
        params = {"ingest": {"source": source}}
        (self.directory / "params.yaml").write_text(yaml.safe_dump(params))
        result = self.dvc("repro")
        assert result.returncode == 0, result.stdout + result.stderr
        return re.findall(r"^Running stage '(.+)'", result.stdout, re.MULTILINE)

    def texts(self) -> list[str]:
        return reviews.read(self.directory / "data/reviews.parquet")["text"].tolist()


def test_dvc_runs_ingest_when_the_content_has_changed(tmp_path):
    project, source = Project(tmp_path), tmp_path / "one.csv"
    write(ROWS, source)
    assert project.ran("one.csv") == ["source", "ingest"]
    lock = (tmp_path / "dvc.lock").read_bytes()
    os.utime(source, (1, 1))
    assert project.ran("one.csv") == ["source"]
    assert (tmp_path / "dvc.lock").read_bytes() == lock
    content = source.read_text()
    source.write_text(content.replace("plain", "fancy"))
    assert project.ran("one.csv") == ["source", "ingest"]
    assert project.texts()[-1] == "fancy"
    source.write_text(content)
    assert project.ran("one.csv") == ["source"]  # ingest comes from DVC's cache of runs
    assert project.texts()[-1] == "plain"
    source.unlink()
    failed = project.dvc("repro")
    assert failed.returncode == 255
    assert "source: error: one.csv: no such file or folder" in failed.stderr
    assert project.dvc("freeze", "source").returncode == 0
    assert project.ran("one.csv") == []
