"""Reviews from the query of a database: SQLite, and a real PostgreSQL server."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg2
import pyarrow.parquet as pq
import pytest

from components.io import accounts, reviews
from components.reading.passwords import VARIABLE
from tests.conftest import REPO, assert_one_line

TEXTS = ["100% good, 'so' :good", "bad", None, "Ünïcödé 😀"]
PASSWORD = "hunter2 @/:%"
QUERY = "select body as text, stars as label from reviews where body like '%ood%' or stars > 4"
LOST = "select 'a' as text, pg_terminate_backend(pg_backend_pid()) as label"


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("create table reviews (body text, stars int, seen blob)")
        rows = [(text, 1 + 4 * (at % 2), b"x") for at, text in enumerate(TEXTS * 3)]
        connection.executemany("insert into reviews values (?, ?, ?)", rows)
    connection.close()
    return "sqlite:///shop.db"


def test_sqlite_from_query_to_reviews(stage, tmp_path, sqlite):
    result = stage("ingest", "--source", sqlite, "--query", QUERY, "--output", "r.parquet")
    assert result.returncode == 0, result.stderr
    table = reviews.read(tmp_path / "r.parquet")
    assert table["text"].tolist() == [TEXTS[0], TEXTS[1], TEXTS[3]] * 3
    assert table["label"].tolist() == [0, 1, 1] * 3
    assert set(table["source"]) == {"shop"}
    (account,) = accounts.read(tmp_path / "r.parquet")
    assert (account.file, account.read, account.kept) == (sqlite, 9, 9)


@pytest.mark.parametrize(
    ("source", "query", "words"),
    [
        ("sqlite:///shop.db", "", "ingest.query is required"),
        ("sqlite:///shop.db", "select body as text from reviews", "no column 'label'"),
        ("sqlite:///shop.db", "select x from reviews", "no such column: x; see ingest.query"),
        ("sqlite:///shop.db", "delete from reviews", "does not return rows"),
        ("sqlite:///shop.db", "select stars as text, 1 as label from reviews", "row 1: column"),
        ("sqlite:///shop.db", "select seen as text, 1 as label from reviews", "is of bytes"),
        ("sqlite:///none.db", "select 1", "no such file"),
        ("sqlite://", "select 1", "no such file"),
        ("mysql://reader@localhost/shop", "select 1", "needs the Python package MySQLdb"),
        ("postgresql://reader@localhost/x?colour=red", "select 1", "invalid connection option"),
        ("reviews.csv", "select 1", "ingest.query: reviews.csv is no database"),
    ],
)
def test_mistake_is_one_line(stage, tmp_path, sqlite, source: str, query: str, words: str):
    result = stage("ingest", "--source", source, "--query", query, "--output", "r.parquet")
    assert_one_line(result, words)
    assert not (tmp_path / "r.parquet").exists()
    assert not (tmp_path / "none.db").exists()
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        assert connection.execute("select count(*) from reviews").fetchone() == (12,)
    connection.close()


@pytest.mark.parametrize(
    "source",
    [
        "postgresql://reader:hunter2@db/shop",
        "postgresql://reader:hun@/ter2@db:x/shop",
        "postgresql://db/shop?password=hunter2",
        "mssql+pyodbc://?odbc_connect=PWD%3Dhunter2",
        "https://reader:hunter2@db/shop.csv",
        "sftp://reader:hunter2@db/shop.csv",
    ],
)
@pytest.mark.parametrize("place", ["source", "other", "exclude", "forgotten", "params"])
def test_password_in_an_address_is_refused_and_not_shown(stage, tmp_path, source: str, place: str):
    arguments = ["--source", "builtin", "--output", "r.parquet"]
    if place == "other":
        arguments += ["--other-sources", json.dumps({"more": {"source": source}})]
    elif place in ("exclude", "forgotten"):
        arguments += [f"--{place}", source]
    elif place == "params":
        (tmp_path / "params.yaml").write_text(json.dumps({"ingest": {"source": source}}))
        arguments = ["--params", "params.yaml", "--output", "r.parquet"]
    else:
        arguments[1] = source
    result = stage("ingest", *arguments)
    assert_one_line(result, f"set {VARIABLE} in the environment")
    assert "hunter2" not in result.stderr + result.stdout
    assert "ter2" not in result.stderr


def test_content_is_that_of_the_rows_in_any_order(stage, tmp_path, sqlite):
    def content(query: str) -> str:
        result = stage("source", "--source", sqlite, "--query", query, "--content", "c.json")
        assert result.returncode == 0, result.stderr
        return json.loads((tmp_path / "c.json").read_text())["shop"]

    first = content(QUERY)
    assert content(f"{QUERY} order by rowid desc") == first
    assert content(f"{QUERY} limit 5") != first
    flags = ["--source", sqlite, "--query", QUERY, "--output", "r.parquet"]
    assert stage("ingest", *flags).returncode == 0
    assert accounts.content(tmp_path / "r.parquet") == {"shop": first}
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("update reviews set stars = 2 where rowid = 1")
    connection.close()
    assert content(QUERY) != first


def test_two_queries_of_one_database(stage, tmp_path, sqlite):
    other = {"all": {"source": sqlite, "query": QUERY.partition(" where")[0]}}
    flags = ["--source", sqlite, "--query", QUERY, "--output", "r.parquet"]
    result = stage("ingest", *flags, "--other-sources", json.dumps(other))
    assert result.returncode == 0, result.stderr
    found = reviews.read(tmp_path / "r.parquet")["source"].value_counts()
    assert found.to_dict() == {"shop": 9, "all": 12}
    result = stage("ingest", *flags, "--other-sources", json.dumps({"again": sqlite}))
    assert_one_line(result, "ingest.other_sources: again: sqlite:///shop.db is read already")
    other = {"file": {"source": "reviews.csv", "query": QUERY}}
    result = stage("ingest", *flags, "--other-sources", json.dumps(other))
    assert_one_line(result, "file: query: reviews.csv is no database")


@pytest.fixture
def shop(postgres: dict[str, str]) -> str:
    """Return the address of a table that the role `reader` can read with PASSWORD."""
    admin = {key.lower().removeprefix("pg"): postgres[key] for key in ("PGHOST", "PGPORT")}
    connection = psycopg2.connect(user="mlflow", password="secret", dbname="postgres", **admin)
    connection.autocommit = True
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "drop table if exists reviews;"
            " create table reviews (body text, stars numeric(3, 1));"
            " do $$ begin create role reader login; exception when duplicate_object then null;"
            " end $$;"
            " grant select on reviews to reader"
        )
        cursor.execute("alter role reader password %s", [PASSWORD])
        rows = [(text, 1 + 4 * (at % 2)) for at, text in enumerate(TEXTS * 3)]
        cursor.executemany("insert into reviews values (%s, %s)", rows)
    connection.close()
    return f"postgresql://reader@127.0.0.1:{postgres['PGPORT']}/postgres"


def test_postgresql_with_the_password_of_the_environment(stage, tmp_path, shop):
    flags = ["--source", shop, "--query", QUERY + ";"]
    given = {VARIABLE: PASSWORD}
    result = stage("ingest", *flags, "--output", "r.parquet", **given)
    assert result.returncode == 0, result.stderr
    table = reviews.read(tmp_path / "r.parquet")
    assert table["text"].tolist() == [TEXTS[0], TEXTS[1], TEXTS[3]] * 3
    assert table["label"].tolist() == [0, 1, 1] * 3
    told = stage("source", *flags, "--content", "c.json", **given)
    assert told.returncode == 0, told.stderr
    content = json.loads((tmp_path / "c.json").read_text())
    assert content == accounts.content(tmp_path / "r.parquet")
    written = (tmp_path / "r.parquet").read_bytes() + (tmp_path / "c.json").read_bytes()
    assert PASSWORD.encode() not in written
    assert PASSWORD not in result.stderr + result.stdout + told.stderr
    assert accounts.read(tmp_path / "r.parquet")[0].file == shop


def test_postgresql_says_whose_fault_it_is(stage, shop, postgres):
    port = postgres["PGPORT"]
    for source, query, password, code, words in (
        (shop, QUERY, "", 1, f"no password supplied; {VARIABLE} is not set"),
        (shop, QUERY, "wrong", 1, "password authentication failed"),
        (shop.replace("/postgres", "/shop"), QUERY, PASSWORD, 1, '"shop" does not exist'),
        (shop, "select nothing from reviews", PASSWORD, 1, '"nothing" does not exist'),
        (shop, "delete from reviews", PASSWORD, 1, "syntax error"),
        (shop, "select 1 / 0 as text, 1 as label", PASSWORD, 1, "division by zero"),
        (shop, "select rolpassword from pg_authid", PASSWORD, 1, "permission denied"),
        (shop, LOST, PASSWORD, 4, "terminat"),
        (shop.replace(port, "1"), QUERY, PASSWORD, 4, "Connection refused"),
        (shop.replace("127.0.0.1", "nowhere.invalid"), QUERY, PASSWORD, 4, "translate host name"),
    ):
        flags = ["--source", source, "--query", query, "--output", "r.parquet"]
        result = stage("ingest", *flags, **{VARIABLE: password})
        assert_one_line(result, words, exit_code=code)
        assert PASSWORD not in result.stderr


def test_postgresql_is_read_in_bounded_memory(shop, tmp_path):
    """The server makes 600 MB of rows, of which memory holds a batch or two."""

    def peak(rows: int) -> int:
        query = "select repeat(md5(n::text), 60) || ' a b' as text, n % 2 as label"
        query += f" from generate_series(1, {rows}) as n"
        command = [sys.executable, "-m", "components.ingest", "--source", shop, "--query", query]
        command += ["--output", str(tmp_path / "r.parquet")]
        environment = os.environ | {"PYTHONPATH": str(REPO), VARIABLE: PASSWORD}
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        assert pq.read_metadata(tmp_path / "r.parquet").num_rows == rows
        return usage.ru_maxrss * 1024

    few, many = peak(30_000), peak(300_000)
    assert many - few < 100e6
