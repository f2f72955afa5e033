"""Every shape of file is read whole or refused in one line; the account of rows is complete."""

import bz2
import gzip
import hashlib
import json
import os
import zipfile
from itertools import chain, repeat
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from components.errors import UserError
from components.ingest import ingest
from components.io import accounts, reviews
from components.reading import dialects, json_files, labels
from components.reading.content import identify
from components.reading.dialects import Dialect
from components.reading.options import Options
from sentiment.model import LABELS
from tests.conftest import REPO
from tests.shapes import SHAPES, documented


def test_the_classes_are_those_of_the_model():
    assert reviews.CLASSES == LABELS


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.what)
def test_shape(shape, tmp_path):
    if shape.texts is None:
        with pytest.raises(UserError) as raised:
            shape.read(tmp_path)
        assert str(raised.value).startswith(shape.source)
        assert shape.refusal in str(raised.value)
        assert [path.name for path in tmp_path.iterdir()] == [shape.source]
    else:
        assert shape.read(tmp_path) == (shape.texts, shape.labels)


def test_documented_shapes_are_what_ingest_does(tmp_path):
    assert documented(tmp_path) in (REPO / "docs/own-data.md").read_text()


def read(tmp_path: Path, name: str, content: str, **options: object):
    source = tmp_path / name
    source.write_text(content)
    return ingest(Options(source=str(source), **options), tmp_path / "r.parquet")


def swallowing(separator: str) -> str:
    """Return 300 rows of which one begins with a quote, and a later one ends in one."""
    lines = []
    for number in range(300):
        text = f"review number {number}"
        text = f'"{text}' if number == 50 else f'{text}"' if number == 80 else text
        lines.append(f"{text}{separator}{number % 2}\n")
    return f"text{separator}label\n" + "".join(lines)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("label_first", [False, True])
def test_a_quote_swallows_no_rows(tmp_path, separator, label_first):
    content = swallowing(separator)
    if label_first:
        rows = (line.split(separator) for line in content.splitlines())
        content = "".join(f"{label}{separator}{text}\n" for text, label in rows)
    read(tmp_path, "quotes.csv", content)
    table = reviews.read(tmp_path / "r.parquet")
    assert len(table) == 300
    assert table["text"][50] == '"review number 50'
    assert table["text"][80] == 'review number 80"'
    assert table["label"].tolist() == [0, 1] * 150


def test_a_swallowed_row_that_fits_no_dialect_is_refused(tmp_path):
    content = swallowing(",").replace("number 60,", "number, 60,")
    with pytest.raises(UserError, match=r"quotes.csv: line \d+: .*damaged_rows: drop"):
        read(tmp_path, "quotes.csv", content)


def test_quoting_that_is_given_is_not_doubted(tmp_path):
    read(tmp_path, "one.csv", 'text,label\n"a,1\nb,0\nc",1\nd,0\n', quoting="standard")
    assert reviews.read(tmp_path / "r.parquet")["text"].tolist() == ["a,1\nb,0\nc", "d"]


def test_the_account_names_all_rows(tmp_path, caplog):
    caplog.set_level("INFO", "ingest")
    content = "text,label\ngood,5\nbad,1\nso so,3\n,2\nhalf, of,4\n"
    given = {"negative": [1, 2], "drop": [3], "positive": [4, 5]}
    (found,) = read(tmp_path, "a.csv", content, labels=given, damaged_rows="drop")
    assert found.read == 5
    assert found.kept == 3
    assert found.dropped == {"label '3'": 1, "3 fields, not 2": 1}
    assert accounts.read(tmp_path / "r.parquet") == [found]
    assert str(found) in caplog.messages
    assert reviews.read(tmp_path / "r.parquet")["text"].isna().sum() == 1


def test_dropped_lines_of_broken_quotes_are_counted(tmp_path):
    content = 'text,label\ngood,1\n"open "quote,0\nbad,0\n'
    (found,) = read(tmp_path, "a.csv", content, damaged_rows="drop", quoting="standard")
    assert found.kept == 2
    assert sum(found.dropped.values()) == 1


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["0", "1"], "np"),
        (["-1", "1"], "np"),
        (["0", "4"], "np"),
        (["1", "2", "4", "5"], "nnpp"),
        (["1 star", "5 stars"], "np"),
        (["NEG", "Positive"], "np"),
        (["F", "t"], "np"),
        ([False, True], "np"),
        (["n", "y", 0, 1.0, "pos"], "npnpp"),
        (["-1", "0", "1"], "nNp"),
        (["0", "2", "4"], "nNp"),
        (["1", "2", "3", "4", "5"], "nnNpp"),
        (["neutral", "POS", "neg"], "Npn"),
    ],
)
def test_usual_spellings(values, classes):
    counted = labels.Values("x")
    codes = [counted.code(value, "x", "row", 1) for value in values]
    used, _, _ = labels.decide(counted, {})
    initials = {"negative": "n", "neutral": "N", "positive": "p"}
    assert "".join(initials[[*used.values()][code]] for code in codes) == classes


@pytest.mark.parametrize(
    ("values", "given", "classes"),
    [
        (["positive", "Neutral", "negative"], {}, ["negative", "neutral", "positive"]),
        (["Joy", "anger", "sadness", "joy"], {}, ["anger", "Joy", "sadness"]),
        (["Spaß", "SPASS", "Sci/Tech"], {}, ["Sci/Tech", "Spaß"]),
        (["b", "a"], {"second": ["a"], "first": ["b"]}, ["second", "first"]),
        (["1", "0"], {"positive": [1], "negative": [0]}, ["negative", "positive"]),
        (
            ["1", "0", "2"],
            {"positive": [1], "drop": [2], "negative": [0]},
            ["negative", "positive"],
        ),
        (["ham", "spam"], {}, ["ham", "spam"]),
    ],
)
def test_classes_have_an_order(values, given, classes):
    counted = labels.Values("x")
    for value in values:
        counted.code(value, "x", "row", 1)
    assert labels.decide(counted, given)[1] == classes


def test_too_many_classes_are_refused(tmp_path):
    given = {f"class {n}": [n] for n in range(labels.MOST_CLASSES + 1)}
    with pytest.raises(UserError, match="51 classes; 50 are possible"):
        ingest(Options(source="nowhere.csv", labels=given), tmp_path / "r.parquet")
    content = "text,label\n" + "".join(f"review {n},kind {n}\n" for n in range(51))
    with pytest.raises(UserError, match="51 different labels; 50 classes are possible"):
        read(tmp_path, "many.csv", content)
    (tmp_path / "other.csv").write_text(content.replace("kind 50", "kind 49"))
    first = "text,label\na,joy\nb,anger\n"
    others = {"other": str(tmp_path / "other.csv")}
    with pytest.raises(UserError, match="52 classes; 50 are possible"):
        read(tmp_path, "a.csv", first, other_sources=others)


@pytest.mark.parametrize("name", ["", " good", "a\nb"])
def test_names_that_cannot_be_read_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="is no name of a class"):
        ingest(Options(source="x.csv", labels={name: [1], "bad": [0]}), tmp_path / "r.parquet")


def test_names_that_differ_in_case_alone_are_refused(tmp_path):
    (tmp_path / "more.csv").write_text("text,label\nc,1\nd,0\n")
    others = {"more": {"source": str(tmp_path / "more.csv"), "labels": {}}}
    given = {"Positive": [1], "Negative": [0]}
    with pytest.raises(UserError, match="Negative and negative differ in case alone"):
        read(tmp_path, "a.csv", "text,label\na,1\nb,0\n", labels=given, other_sources=others)


def test_a_label_that_is_spelled_drop_loses_no_rows(tmp_path):
    with pytest.raises(UserError, match="labels that are of no class: 'keep'"):
        read(tmp_path, "a.csv", "text,label\na,keep\nb,drop\nc,raise\n")


def test_a_list_of_labels_is_refused(tmp_path):
    content = '{"text": "a", "label": ["joy", "anger"]}\n{"text": "b", "label": "joy"}\n'
    with pytest.raises(UserError, match="line 1: label is a list, not one value"):
        read(tmp_path, "a.jsonl", content)


def test_other_labels_beside_usual_ones_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"'mixed' \(first: .*drop: \[\"mixed\"\]"):
        read(tmp_path, "a.csv", "text,label\na,positive\nb,negative\nc,mixed\n")


@pytest.mark.parametrize("values", ["1 2", "2 4", "4", "0 2", "0 1 2 3 4", "1.5 5", "1.5 2.5"])
def test_open_scales_are_refused(values):
    counted = labels.Values("x")
    for value in values.split():
        counted.code(value, "x", "row", 1)
    with pytest.raises(UserError, match=r"in its class, labels: \{"):
        labels.decide(counted, {})


def test_the_proposed_mapping_can_be_pasted(tmp_path):
    content = "text,label\n" + "".join(f"review {n},{n}\n" for n in range(1, 11))
    with pytest.raises(UserError) as raised:
        read(tmp_path, "ten.csv", content)
    proposed = yaml.safe_load(str(raised.value).partition("its class, ")[2])
    (found,) = read(tmp_path, "ten.csv", content, **proposed)
    assert found.kept == 10


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"negative": [1], "positive": [1.0]}, "'1' is in negative and positive"),
    ],
)
def test_a_wrong_mapping_is_refused_before_reading(tmp_path, given, message):
    with pytest.raises(UserError, match=message):
        ingest(Options(source="nowhere.csv", labels=given), tmp_path / "r.parquet")


def test_dropping_all_rows_is_refused(tmp_path):
    with pytest.raises(UserError, match="all rows are dropped"):
        read(tmp_path, "a.csv", "text,label\na,1\n", labels={"drop": [1]})


def test_yes_and_no_of_yaml_are_the_words(tmp_path):
    given = {"negative": [True], "positive": [False]}  # as YAML reads yes and no
    read(tmp_path, "a.csv", "text,label\na,yes\nb,no\n", labels=given)
    assert reviews.read(tmp_path / "r.parquet")["label"].tolist() == [0, 1]


def test_a_column_of_texts_is_no_column_of_labels(tmp_path):
    content = "text,label\n" + "".join(f"{n},review {n}\n" for n in range(200))
    with pytest.raises(UserError, match="line 102: more than 100 different labels"):
        read(tmp_path, "swapped.csv", content)


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r"])
def test_a_western_file_is_not_read_as_cyrillic(tmp_path, encoding):
    text = "Très beau, déjà vu; l'été à Paris, forêt, élève, créé "
    (tmp_path / "a.csv").write_bytes(f'text,label\n"{text * 9}",1\n'.encode("cp1252"))
    with pytest.raises(UserError, match="makes no words"):
        ingest(Options(str(tmp_path / "a.csv"), encoding=encoding), tmp_path / "r.parquet")


def test_utf8_is_not_read_as_another_encoding(tmp_path):
    with pytest.raises(UserError, match="the file is UTF-8"):
        read(tmp_path, "a.csv", "text,label\ncafé,1\n", encoding="cp1252")


def test_an_array_is_read_an_item_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "CHUNK", 7)
    items = [{"text": f'review [{n}] \\ "', "label": n % 2} for n in range(50)]
    (found,) = read(tmp_path, "a.json", json.dumps(items, indent=2))
    assert found.kept == 50
    assert reviews.read(tmp_path / "r.parquet")["text"].tolist() == [i["text"] for i in items]


def test_an_unclosed_quote_is_bounded():
    lines = chain(['a,"b\n'], repeat("x" * 99 + "\n"))
    previous = dialects.csv.field_size_limit(1000)
    try:
        row = next(dialects.rows(lines, Dialect(",", "standard")))
    finally:
        dialects.csv.field_size_limit(previous)
    assert "field limit" in row.fault
    assert len(row.lines) < 20


def test_an_archive_writes_nothing_outside(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../outside.csv", "text,label\na,1\n")
    with pytest.raises(UserError, match="would be written outside"):
        ingest(Options(str(tmp_path / "a.zip")), tmp_path / "r.parquet")


def test_a_file_that_is_compressed_twice_is_refused(tmp_path):
    source = tmp_path / "reviews.csv.bz2.gz"
    source.write_bytes(gzip.compress(bz2.compress(swallowing(",").encode())))
    with pytest.raises(UserError, match="neither text nor a known format"):
        ingest(Options(source=str(source)), tmp_path / "r.parquet")


def test_two_columns_of_one_name_are_told(tmp_path):
    source = tmp_path / "reviews.parquet"
    columns = [["good"], ["bad"], ["1"]]
    pq.write_table(pa.table([*map(pa.array, columns)], names=["text", "text", "label"]), source)
    with pytest.raises(UserError, match="more than one column 'text' among"):
        ingest(Options(source=str(source)), tmp_path / "r.parquet")


@pytest.mark.parametrize("group", ["", "film"])
def test_a_file_that_ingest_wrote_keeps_its_classes(tmp_path, group):
    content = "text,label,film\na,joy,1\nb,anger,2\nc,calm,2\n"
    read(tmp_path, "a.csv", content, group_column=group)
    (tmp_path / "r.parquet").rename(tmp_path / "own.parquet")
    ingest(Options(source=str(tmp_path / "own.parquet")), tmp_path / "again.parquet")
    assert reviews.classes(tmp_path / "again.parquet") == ("anger", "calm", "joy")
    assert reviews.read(tmp_path / "again.parquet")["label"].tolist() == [2, 0, 1]


def of_group(path: Path) -> list[str | None]:
    found = reviews.read(path)["group"]
    return found.where(found.notna(), None).tolist()


GROUPS = pd.DataFrame(
    {"text": ["a", "b", "c", "d"], "label": [1, 0, 1, 0], "film": ["x", None, "7", " x "]}
)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_groups_are_read(tmp_path, caplog, ending):
    caplog.set_level("INFO", "ingest")
    source = tmp_path / f"films.{ending}"
    {
        "csv": lambda: GROUPS.to_csv(source, index=False),
        "jsonl": lambda: GROUPS.to_json(source, orient="records", lines=True),
        "parquet": lambda: GROUPS.to_parquet(source),
    }[ending]()
    ingest(Options(source=str(source), group_column="film"), tmp_path / "r.parquet")
    assert of_group(tmp_path / "r.parquet") == ["x", None, "7", "x"]
    assert "1 of 4 rows have no film" in caplog.messages
    with pytest.raises(UserError, match=r"no column 'movie' among .*; see --group-column"):
        ingest(Options(source=str(source), group_column="movie"), tmp_path / "r.parquet")


def test_whole_numbers_are_the_same_group_in_every_format(tmp_path):
    source = tmp_path / "films.parquet"
    GROUPS.assign(film=[7.0, None, 8.0, 7.0]).to_parquet(source)  # as pandas has them
    ingest(Options(source=str(source), group_column="film"), tmp_path / "r.parquet")
    assert of_group(tmp_path / "r.parquet") == ["7", None, "8", "7"]
    (tmp_path / "films.csv").write_text("text,label,film\na,1,7.0\nb,0,\nc,1,8\nd,0,7\n")
    options = Options(source=str(tmp_path / "films.csv"), group_column="film")
    ingest(options, tmp_path / "r.parquet")
    assert of_group(tmp_path / "r.parquet") == ["7", None, "8", "7"]


def test_groups_need_columns(tmp_path):
    (tmp_path / "train.txt").write_text("__label__pos good\n__label__neg bad\n")
    with pytest.raises(UserError, match="fasttext has no columns"):
        ingest(Options(str(tmp_path / "train.txt"), group_column="film"), tmp_path / "r.parquet")
    (tmp_path / "bare.csv").write_text("a long review,1,7\nanother long one,0,8\n")
    with pytest.raises(UserError, match="see --text-column"):
        ingest(Options(str(tmp_path / "bare.csv"), group_column="film"), tmp_path / "r.parquet")


def test_without_groups_the_table_is_as_it_was(tmp_path):
    read(tmp_path, "a.csv", "text,label\na,1\nb,0\n")
    assert pq.read_schema(tmp_path / "r.parquet").names == ["text", "label", "source"]


def test_each_source_keeps_its_name_labels_and_columns(tmp_path):
    """A 1 is a good review in the one source and one star in the other."""
    (tmp_path / "own.csv").write_text("body,stars,film\nfine,5,x\npoor,1,\n")
    (tmp_path / "signs.csv").write_text("text,label\ngood,1\nbad,-1\n")
    options = Options(
        source=str(tmp_path / "own.csv"),
        text_column="body",
        label_column="stars",
        group_column="film",
        labels={"negative": [1], "positive": [5]},
        other_sources={
            "old": "builtin:rotten_tomatoes",
            "signs": {
                "source": str(tmp_path / "signs.csv"),
                "text_column": "text",
                "label_column": "label",
                "group_column": "",
                "labels": {},
            },
        },
    )
    account = ingest(options, tmp_path / "r.parquet")
    assert [each.kept for each in account] == [2, 8530, 2]
    table = reviews.read(tmp_path / "r.parquet")
    assert table["source"].value_counts().to_dict() == {"old": 8530, "own": 2, "signs": 2}
    for name in ("own", "signs"):
        assert table[table["source"] == name]["label"].tolist() == [1, 0]
    assert table[table["source"] == "old"]["label"].sum() == 4265
    assert table["group"].notna().sum() == 1
    content = accounts.content(tmp_path / "r.parquet")
    assert list(content) == ["own", "old", "signs"]
    digest = hashlib.sha256((tmp_path / "own.csv").read_bytes()).hexdigest()
    assert content["own"] == f"sha256:{digest}"


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"a": "b.csv"}, "ingest.other_sources: a: .*a.csv has this name already"),
        ({"b": "./a.csv"}, "ingest.other_sources: b: ./a.csv is read already, as a"),
        ({"b": {"text_column": "x"}}, "ingest.other_sources: b: source is required"),
        ({"b": {"source": "b.csv", "text_colum": "x"}}, "b: text_colum: no such option"),
        ({"b": {"source": "b.csv", "header": "no"}}, "b: header: Input should be 'auto'"),
        ({"b": "builtin", "c": "builtin:imdb"}, "c: builtin:imdb is read already, as b"),
    ],
)
def test_a_wrong_list_of_sources_is_refused(tmp_path, monkeypatch, others, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        ingest(Options(source="a.csv", other_sources=others), Path("r.parquet"))


def test_the_content_of_a_folder_is_that_of_its_files(tmp_path):
    """A new time changes nothing; a name, a byte or a file less does."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.csv").write_text("text,label\ngood,1\nbad,0\n")
    options = Options(source=str(folder))
    seen = [identify(options)]
    os.utime(folder / "a.csv", (1, 1))
    assert identify(options) == seen[0]
    (folder / "a.csv").rename(folder / "c.csv")
    seen.append(identify(options))
    (folder / "c.csv").write_text("text,label\ngood,1\nbad,1\n")
    seen.append(identify(options))
    (folder / "c.csv").unlink()
    seen.append(identify(options))
    assert len({each["in"] for each in seen}) == 4


def test_sources_may_have_classes_of_their_own(tmp_path):
    (tmp_path / "signs.csv").write_text("text,label\ngood,pos\nbad,neg\n")
    (tmp_path / "three.csv").write_text("text,label\nso,neutral\nfine,positive\npoor,negative\n")
    others = {"three": str(tmp_path / "three.csv")}
    options = Options(source=str(tmp_path / "signs.csv"), other_sources=others)
    ingest(options, tmp_path / "r.parquet")
    assert reviews.classes(tmp_path / "r.parquet") == ("negative", "neutral", "positive")
    assert reviews.read(tmp_path / "r.parquet")["label"].tolist() == [2, 0, 1, 2, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "r.parquet",
        *["signs.csv", "three.csv"],
    ]
