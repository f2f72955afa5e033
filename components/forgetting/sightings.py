"""Search the sources and the files of the project for texts, without changing them."""

import hashlib
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.forgetting import contents
from components.forgetting.contents import NotReadableError
from components.forgetting.removal import Left
from components.forgetting.wanted import Wanted
from components.io.records import record
from components.reading import builtin, exclusion, formats, several
from components.reading.batches import Batch
from components.reading.options import Options
from components.reading.passwords import is_database, shown
from components.reading.sources import fetch

log = logging.getLogger("forget")

FOLDERS = ("data", "reports")  # of the project, where stages write texts
LABELLED = Path("data/labelled.parquet")  # from components.join; its rows are removed
CERTIFICATES = "forgotten"  # in reports


@record
class Searched:
    """A table of the project: its SHA-256, its rows and those that hold a text."""

    path: str
    digest: str
    rows: int
    found: int


def tables(folders: tuple[str, ...], wanted: Wanted) -> list[Searched]:
    """Search all Parquet files with a column ``text`` in the folders."""
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*.parquet"))
    log.info("searching %d tables in %s", len(paths), ", ".join(folders))
    searched = [_table(path, wanted) for path in paths if not path.name.startswith(".")]
    return [each for each in searched if each is not None]


def _table(path: Path, wanted: Wanted) -> Searched | None:
    try:
        with pq.ParquetFile(path) as file:
            if contents.TEXT not in file.schema_arrow.names:
                return None
            rows = found = 0
            for batch in file.iter_batches(columns=[contents.TEXT]):
                texts = batch.column(0).to_pylist()
                rows += len(texts)
                found += sum(wanted.is_copy(text) for text in texts if text is not None)
    except (pa.ArrowException, OSError):
        return None  # other_files() names it
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return Searched(str(path), digest, rows, found)


def _unreadable(path: Path) -> str | None:
    """Return why a table cannot be read, None if it can be."""
    try:
        with pq.ParquetFile(path):
            return None
    except (pa.ArrowException, OSError) as error:
        return str(error)


def other_files(folders: tuple[str, ...], wanted: Wanted) -> Iterator[Left]:
    """Yield the other files of the folders that hold a text or cannot be read."""
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix.lower() not in contents.ENDINGS:
                continue
            if not path.is_file() or CERTIFICATES in path.parts:
                continue
            if path.suffix == ".parquet":
                if (why := _unreadable(path)) is not None:
                    yield Left(str(path), f"not searched: {why}")
                continue
            content = path.read_bytes()
            try:
                records = contents.records(path.name, content)
                held = sum(wanted.is_copy(text) for each in records for text in each.texts)
                held += contents.texts_elsewhere(path.name, content, wanted)
            except NotReadableError as error:
                yield Left(str(path), f"not searched: {error}")
                continue
            if held:
                yield Left(str(path), f"{held} records hold it: delete them, or the file")


def sources(options: Options, wanted: Wanted) -> tuple[Counter[str], list[Left]]:
    """Return the rows of each source that hold a text, and the sources that were not searched.

    Those of this machine and the built-in ones are searched. ``data/reviews.parquet`` holds what
    ingest has read from the others.
    """
    found: Counter[str] = Counter()
    unsearched = []
    for each in several.by_name(options).values():
        address = shown(each.source)
        if is_database(each.source) or "://" in each.source:
            unsearched.append(Left(address, "a source of ingest, not searched"))
            continue
        if Path(each.source) == LABELLED:
            continue
        log.info("searching %s", address)
        for file, batch in _batches(replace(each, label_column=each.text_column, group_column="")):
            held = sum(wanted.is_copy(text) for text in batch.texts if text is not None)
            if held:
                found[file] += held
    return found, unsearched


def remaining(found: Counter[str], options: Options, wanted: Wanted) -> Iterator[Left]:
    """Yield the files of the user that still hold a text, which forget does not edit."""
    for place, rows in found.items():
        what = "of a package" if builtin.is_name(place) else "of yours, which forget does not edit"
        yield Left(place, f"{rows} rows of this source hold it ({what}); ingest drops them")
    address = exclusion.lists(options).get("exclude", "")
    if address and Path(address).is_file():
        content = Path(address).read_bytes()
        records = contents.records("exclude.csv", content)
        if held := sum(wanted.is_copy(text) for each in records for text in each.texts):
            yield Left(address, f"{held} rows of this list (ingest.exclude) hold it: delete them")


def _batches(options: Options) -> Iterator[tuple[str, Batch]]:
    if builtin.is_name(options.source):
        for batch in builtin.read(options.source):
            yield options.source, batch
        return
    with tempfile.TemporaryDirectory() as scratch:
        for origin in fetch(options, Path(scratch)):
            plain = formats.plain(origin.path, options, origin.address, Path(scratch))
            for path, address in plain:
                for batch in formats.read(path, options, address, Counter()):
                    yield address, batch
