"""Texts without columns: a folder for each class with a file for each text, and fastText."""

import re
from collections.abc import Iterator
from pathlib import Path

from components.errors import UserError
from components.reading import encodings
from components.reading.batches import Batch, Labelled, batched
from components.reading.options import Options

MARK = "__label__"  # of fastText
_LINE = re.compile(rf"((?:{MARK}\S+\s+)+)(.*)", re.DOTALL)


def read_folder(folder: Path, options: Options, address: str) -> Iterator[Batch]:
    """Yield each text of a folder; its label is the name of the folder that it is in."""
    yield from batched(_files(folder, options, address), "file")


def _files(folder: Path, options: Options, address: str) -> Iterator[Labelled]:
    for number, path in enumerate(sorted(folder.rglob("*.txt")), 1):
        where = f"{address}/{path.relative_to(folder)}"
        encoding = encodings.detect(path, options.encoding, where)
        with encodings.opened(path, encoding, where) as file:
            text = file.read()
        yield Labelled(number, text.strip() or None, path.parent.name)


def read_fasttext(path: Path, options: Options, address: str) -> Iterator[Batch]:
    """Yield the rows of a file of lines such as ``__label__positive a text``."""
    encoding = encodings.detect(path, options.encoding, address)
    with encodings.opened(path, encoding, address) as file:
        rows = (
            Labelled(n, *_row(line, f"{address}: line {n}"))
            for n, line in enumerate(file, 1)
            if line.strip()
        )
        yield from batched(rows, "line")


def _row(line: str, where: str) -> tuple[str | None, str]:
    match = _LINE.fullmatch(line.strip() + "\n")
    if match is None:
        raise UserError(f"{where}: does not begin with {MARK}")
    label, *more = match[1].split()
    if more:
        raise UserError(f"{where}: has {1 + len(more)} labels; a text has one class")
    return match[2].strip() or None, label.removeprefix(MARK)
