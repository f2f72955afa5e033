"""Files in every shape that ingest reads or refuses, and the table of them in docs/own-data.md."""

import bz2
import gzip
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import UserError
from components.ingest import ingest
from components.io import reviews
from components.reading.options import Options

POSITIVE, NEGATIVE = ["So good", "Fine, really"], ["Very bad", "Dull; 5 | 10"]
TEXTS = [POSITIVE[0], NEGATIVE[0], POSITIVE[1], NEGATIVE[1]]
SIGNS = (1, 0, 1, 0)
QUOTED = 'text,label\nSo good,1\nVery bad,0\n"Fine, really",1\nDull; 5 | 10,0\n'
RUSSIAN = "Отличный фильм, смотрел не отрываясь"
# the quote that begins one text and the one that ends another enclose two lines
SWALLOWED = "text{0}label\n" + '"So good{0}1\nVery bad{0}0\nA screen of 5"{0}1\nDull{0}0\n'


@dataclass(frozen=True)
class Shape:
    """A source and what ingest makes of it: texts and labels, or a part of the refusal."""

    what: str
    source: str
    content: bytes | Callable[[Path], None]
    texts: list[str] | None = None
    labels: tuple[int, ...] = SIGNS
    refusal: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        if isinstance(self.content, bytes):
            (folder / self.source).write_bytes(self.content)
        else:
            self.content(folder / self.source)

    def read(self, folder: Path) -> tuple[list[str], tuple[int, ...]]:
        """Run ingest in ``folder`` and return texts and labels."""
        self.write(folder)
        before = Path.cwd()
        os.chdir(folder)  # so that messages name the file alone
        try:
            account = ingest(Options(source=self.source, **self.options), Path("out.parquet"))
        finally:
            os.chdir(before)
        table = reviews.read(folder / "out.parquet")
        assert sum(each.kept for each in account) == len(table)
        return table["text"].tolist(), tuple(table["label"].tolist())


def rows(separator: str, labels: tuple[object, ...] = SIGNS, header: bool = True) -> str:
    lines = [f"{text}{separator}{label}\n" for text, label in zip(LETTERS, labels, strict=False)]
    return "".join([f"text{separator}label\n"] * header + lines)


LETTERS = ["So very good", "So very bad", "Fine really", "Dull and long", "A middling one"]


def table(labels: pa.Array, metadata: dict[str, str] | None = None) -> pa.Table:
    columns = {"text": pa.array(TEXTS[: len(labels)]), "label": labels}
    return pa.table(columns).replace_schema_metadata(metadata)


def parquet(labels: pa.Array) -> Callable[[Path], None]:
    return lambda path: pq.write_table(table(labels), path)


def class_label() -> pa.Table:
    feature = {"_type": "ClassLabel", "names": ["positive", "negative"]}
    info = {"info": {"features": {"label": feature}}}
    return table(pa.array([0, 1, 0, 1]), {"huggingface": json.dumps(info)})


def dataset(path: Path) -> None:
    path.mkdir()
    made = class_label()
    with pa.ipc.new_stream(path / "data-00000-of-00001.arrow", made.schema) as stream:
        stream.write_table(made)
    (path / "dataset_info.json").write_text("{}")
    (path / "state.json").write_text("{}")


def folder(path: Path) -> None:
    for name, texts in (("neg", NEGATIVE), ("pos", POSITIVE)):
        (path / name).mkdir(parents=True)
        for number, text in enumerate(texts):
            (path / name / f"{number}.txt").write_text(text)


def tar(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, texts in (("neg", NEGATIVE), ("pos", POSITIVE)):
            for number, text in enumerate(texts):
                member = tarfile.TarInfo(f"set/{name}/{number}.txt")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))


def two_files(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "text,label\nSo good,1\nVery bad,0\n")
        archive.writestr("b.jsonl", '{"text": "Fine, really", "label": 1}\n')
        archive.writestr("__MACOSX/._a.csv", "no data")


def workbook(path: Path) -> None:
    """Write a workbook with a sheet of notes and one of reviews."""
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    links = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"

    def sheet(cells: list[list[object]]) -> str:
        lines = ""
        for number, row in enumerate(cells, 1):
            lines += f'<row r="{number}">'
            for column, cell in zip("AB", row, strict=False):
                if isinstance(cell, int):
                    lines += f'<c r="{column}{number}"><v>{cell}</v></c>'
                else:
                    text = f"<is><t>{cell}</t></is>"
                    lines += f'<c r="{column}{number}" t="inlineStr">{text}</c>'
            lines += "</row>"
        return f'{head}<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'

    data: list[list[object]] = [["text", "label"]]
    data += [[text, sign] for text, sign in zip(TEXTS, SIGNS, strict=True)]
    parts = {
        "[Content_Types].xml": f'{head}<Types xmlns="{package}/content-types">'
        '<Default Extension="rels"'
        ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{n}.xml"'
            f' ContentType="{kinds}.worksheet+xml"/>'
            for n in (1, 2)
        )
        + "</Types>",
        "_rels/.rels": f'{head}<Relationships xmlns="{package}/relationships"><Relationship'
        f' Id="r1" Type="{links}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'{head}<workbook xmlns="{main}" xmlns:r="{links}"><sheets>'
        '<sheet name="Notes" sheetId="1" r:id="r1"/><sheet name="Data" sheetId="2" r:id="r2"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'{head}<Relationships xmlns="{package}/relationships">'
        + "".join(
            f'<Relationship Id="r{n}" Type="{links}/worksheet" Target="worksheets/sheet{n}.xml"/>'
            for n in (1, 2)
        )
        + "</Relationships>",
        "xl/worksheets/sheet1.xml": sheet([["from", "the shop"]]),
        "xl/worksheets/sheet2.xml": sheet(data),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)


def zstd(path: Path) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(QUOTED.encode())


OBJECTS = [{"text": text, "label": sign} for text, sign in zip(TEXTS, SIGNS, strict=True)]
JSON_LINES = "\n".join(map(json.dumps, OBJECTS))
STARS = (5, 1, 4, 2, 3)
TWEET = "@friend {} as a tweet has them, more or less"
TWITTER = f'"{{}}","{{}}","Mon Apr 06 22:19:45 PDT 2009","NO_QUERY","user{{}}","{TWEET}"\n'

SHAPES = [
    Shape("CSV", "reviews.csv", QUOTED.encode(), TEXTS),
    Shape("semicolons and a mark (Excel)", "excel.csv", rows(";").encode("utf-8-sig"), LETTERS[:4]),
    Shape("tabs in a .csv", "tabs.csv", rows("\t").encode(), LETTERS[:4]),
    Shape("`|`", "pipes.csv", rows("|").encode(), LETTERS[:4]),
    Shape(
        "TSV whose texts hold single quotation marks",
        "quotes.tsv",
        SWALLOWED.format("\t").encode(),
        ['"So good', "Very bad", 'A screen of 5"', "Dull"],
    ),
    Shape(
        "CSV whose texts hold single quotation marks",
        "quotes.csv",
        SWALLOWED.format(",").encode(),
        ['"So good', "Very bad", 'A screen of 5"', "Dull"],
    ),
    Shape(
        "line breaks in quotes",
        "lines.csv",
        b'label,text\n1,"So\ngood, 1"\n0,"Very\n\nbad"\n',
        ["So\ngood, 1", "Very\n\nbad"],
        (1, 0),
    ),
    Shape(
        "backslash before a quote (Spark)",
        "spark.csv",
        b'text,label\n"He said \\"good\\", C:\\new",1\n"Bad",0\n',
        ['He said "good", C:\\new', "Bad"],
        (1, 0),
    ),
    Shape(
        "NUL in a text", "nul.csv", b"text,label\nSo\0good,1\nbad,0\n", ["So\0good", "bad"], (1, 0)
    ),
    Shape("UTF-16", "utf16.csv", rows("\t").encode("utf-16"), LETTERS[:4]),
    Shape("UTF-16 without a mark", "utf16-le.csv", rows(",").encode("utf-16-le"), LETTERS[:4]),
    Shape("no header", "bare.csv", rows(",", header=False).encode(), LETTERS[:4]),
    Shape(
        "no header, six columns, of another encoding",
        "tweets.csv",
        "".join(TWITTER.format(4 * n, 1467810369 + n, n, f"café {n}") for n in (0, 1)).encode(
            "latin-1"
        ),
        [
            "@friend café 0 as a tweet has them, more or less",
            "@friend café 1 as a tweet has them, more or less",
        ],
        (0, 1),
        options={"encoding": "latin-1"},
    ),
    Shape(
        "names of rows without a name (R)",
        "r.csv",
        b'"text","label"\n"1","So good",1\n"2","Very bad",0\n',
        TEXTS[:2],
        (1, 0),
        options={"columns": ["row", "text", "label"]},
    ),
    Shape(
        "JSON Lines", "lines.jsonl", "\n".join(map(json.dumps, OBJECTS)).encode("utf-8-sig"), TEXTS
    ),
    Shape("JSON array", "array.json", json.dumps(OBJECTS, indent=1).encode(), TEXTS),
    Shape("JSON Lines in .json", "lines.json", JSON_LINES.encode(), TEXTS),
    Shape("gzip", "reviews.csv.gz", gzip.compress(QUOTED.encode(), mtime=0), TEXTS),
    Shape("bzip2", "reviews.csv.bz2", bz2.compress(QUOTED.encode()), TEXTS),
    Shape("zstd", "reviews.csv.zst", zstd, TEXTS),
    Shape("zip of files", "files.zip", two_files, TEXTS[:3], SIGNS[:3]),
    Shape("tar of a folder for each class", "texts.tar.gz", tar, NEGATIVE + POSITIVE, (0, 0, 1, 1)),
    Shape("a folder for each class", "texts", folder, NEGATIVE + POSITIVE, (0, 0, 1, 1)),
    Shape("Parquet, numbers", "int.parquet", parquet(pa.array([1.0, 0.0, 1.0, 0.0])), TEXTS),
    Shape(
        "Parquet, booleans", "bool.parquet", parquet(pa.array([True, False, True, False])), TEXTS
    ),
    Shape(
        "Parquet, decimals",
        "decimal.parquet",
        parquet(pa.array([Decimal("1.0"), Decimal("0.0")])),
        TEXTS[:2],
        (1, 0),
    ),
    Shape(
        "Parquet, dictionary",
        "words.parquet",
        parquet(pa.array(["pos", "neg", "pos", "neg"]).dictionary_encode()),
        TEXTS,
    ),
    Shape(
        "Parquet of Hugging Face, ClassLabel",
        "hub.parquet",
        lambda path: pq.write_table(class_label(), path),
        TEXTS,
    ),
    Shape("Hugging Face dataset on disk", "dataset", dataset, TEXTS),
    Shape("Excel", "book.xlsx", workbook, TEXTS),
    Shape(
        "fastText",
        "train.txt",
        b"__label__pos So good\n__label__neg Very bad\n",
        TEXTS[:2],
        (1, 0),
    ),
    Shape("labels 0 and 4", "four.csv", rows(",", (4, 0)).encode(), LETTERS[:2], (1, 0)),
    Shape("labels -1 and 1", "minus.csv", rows(",", (1, -1)).encode(), LETTERS[:2], (1, 0)),
    Shape("TRUE and FALSE", "true.csv", rows(",", ("TRUE", "FALSE")).encode(), LETTERS[:2], (1, 0)),
    Shape("Yes and No", "yes.csv", rows(",", ("Yes", "No")).encode(), LETTERS[:2], (1, 0)),
    Shape("stars without the middle", "stars.csv", rows(",", STARS[:4]).encode(), LETTERS[:4]),
    Shape(
        "stars, with a mapping",
        "five.csv",
        rows(",", STARS).encode(),
        LETTERS[:4],
        options={"labels": {"negative": [1, 2], "drop": [3], "positive": [4, 5]}},
    ),
    Shape(
        "stars with the middle",
        "all.csv",
        rows(",", STARS).encode(),
        texts=LETTERS,
        labels=(2, 0, 2, 0, 1),
    ),
    Shape(
        "three classes",
        "three.csv",
        rows(",", ("positive", "negative", "Neutral")).encode(),
        texts=LETTERS[:3],
        labels=(2, 0, 1),
    ),
    Shape(
        "other labels",
        "other.csv",
        rows(",", ("up", "down")).encode(),
        texts=LETTERS[:2],
        labels=(1, 0),
    ),
    Shape(
        "a missing label",
        "missing.csv",
        rows(",", (1, "")).encode(),
        refusal="'' (first: missing.csv, line 3)",
    ),
    Shape(
        "a comma without quotes",
        "comma.csv",
        b"id,text,label\n0,So very, good,1\n1,Very bad,0\n",
        refusal="line 2: 4 fields, not 3",
    ),
    Shape(
        "the same, without that row",
        "comma.csv",
        b"id,text,label\n0,So very, good,1\n1,Very bad,0\n",
        ["Very bad"],
        (0,),
        options={"damaged_rows": "drop"},
    ),
    Shape(
        "a quote that is not closed",
        "open.csv",
        b'text,label\n"So, good,1\n"Very, bad",0\n',
        refusal="line 2: ",
    ),
    Shape(
        "Cyrillic",
        "russian.csv",
        f'text,label\n"{RUSSIAN}",1\n"{RUSSIAN} нет",0\n'.encode("cp1251"),
        refusal="perhaps to cp1251",
    ),
    Shape(
        "Cyrillic, as a Western encoding",
        "russian.csv",
        f'text,label\n"{RUSSIAN}",1\n"{RUSSIAN} нет",0\n'.encode("cp1251"),
        refusal="encoding cp1252 makes no words",
        options={"encoding": "cp1252"},
    ),
    Shape(
        "a cut array", "cut.json", json.dumps(OBJECTS)[:-9].encode(), refusal="item 4 of the array"
    ),
    Shape("an old Excel file", "old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", refusal="save it as .xlsx"),
    Shape("a broken Excel file", "cut.xlsx", b"PK\x03\x04 cut", refusal="damaged or cut zip"),
    Shape("a web page", "page.csv", b"<!DOCTYPE html><p>Log in", refusal="a web page, not data"),
]


def line(shape: Shape, directory: Path) -> str:
    """Return the row of a shape in the table, from what ingest does."""
    try:
        _, labels = shape.read(directory)
        names = enumerate(reviews.classes(directory / "out.parquet"))
        counts = [f"{labels.count(label)} {name}" for label, name in names]
        result = f"{len(labels)} rows: {', '.join(reversed(counts))}"
    except UserError as error:
        result = f"refused: `{error}`"
    given = json.dumps(shape.options, ensure_ascii=False)[1:-1].replace('"', "").replace("|", "\\|")
    what = shape.what.replace("|", "\\|")
    return f"| {what} | `{shape.source}` | {given and f'`{given}`'} | {result} |"


def documented(directory: Path) -> str:
    """Return the table of docs/own-data.md."""
    lines = ["| shape | source | set | result |", "|---|---|---|---|"]
    for number, shape in enumerate(SHAPES):
        own = directory / str(number)
        own.mkdir()
        lines.append(line(shape, own))
    return "\n".join(lines) + "\n"
