"""The format of a file, by its content and its name, and the reader of each format."""

import logging
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from components.errors import UserError
from components.reading import (
    columnar,
    delimited,
    encodings,
    excel,
    json_files,
    plain_texts,
    unpack,
)
from components.reading.batches import Batch
from components.reading.options import AUTO, Options

ENDINGS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json"}
ENDINGS |= {".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".xlsx": "excel"}
ALL_ENDINGS = (
    *(end + packed for end in ENDINGS for packed in ("", *unpack.COMPRESSED_ENDINGS)),
    *(end + packed for end in (".tar",) for packed in unpack.COMPRESSED_ENDINGS),
    *unpack.ARCHIVE_ENDINGS,
)
# beside the data of a Hugging Face dataset on disk
_DESCRIPTIONS = ("dataset_info.json", "dataset_dict.json", "state.json")
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_CONTROL = re.compile("[\x01-\x08\x0e-\x1f]")
_MOST_CONTROL = 0.02  # share of control characters in a file of text
_START = 4096  # bytes or characters that tell the format

log = logging.getLogger("ingest")


def is_data(path: Path, options: Options) -> bool:
    """Return whether a file in a folder holds data: not a mark such as _SUCCESS.

    With a format given, a name needs no ending that tells the format.
    """
    if any(part.startswith(("_", ".")) for part in path.parts) or path.name in _DESCRIPTIONS:
        return False
    return options.format != AUTO or path.name.lower().endswith(ALL_ENDINGS)


def data_under(prefix: str, names: Iterable[str], options: Options) -> list[str]:
    """Return the objects beneath a prefix that hold data, in order.

    Raises:
        UserError: there is none.
    """
    found = sorted(n for n in names if is_data(Path(n.removeprefix(prefix)), options))
    if not found:
        endings = " or ".join(ENDINGS)
        raise UserError(f"{options.source}: no object with this prefix ends in {endings}")
    return found


def plain(path: Path, options: Options, address: str, scratch: Path) -> Iterator[tuple[Path, str]]:
    """Yield what the readers read, in the order of names: files, or a folder of texts.

    Folders are walked, and compressed files and archives are unpacked, one at a time.

    Raises:
        UserError: a folder has no data, or a file is damaged.
    """
    if path.is_file():
        with tempfile.TemporaryDirectory(dir=scratch) as own:
            unpacked = unpack.unpack(path, Path(own), address)
            if unpacked.is_dir():
                yield from plain(unpacked, options, address, Path(own))
            else:
                yield unpacked, address
        return
    inside = sorted(each for each in path.rglob("*") if each.is_file())
    texts = [each for each in inside if each.suffix == ".txt"]
    found = [each for each in inside if is_data(each.relative_to(path), options)]
    if options.format == "texts" or (not found and len({text.parent for text in texts}) > 1):
        if not texts:
            raise UserError(f"{address}: no file in this folder ends in .txt")
        yield path, address
        return
    found = found or texts
    if not found:
        endings = " or ".join(ENDINGS)
        raise UserError(f"{address}: no file in this folder ends in {endings}; see --format")
    if left := [str(each.relative_to(path)) for each in inside if each not in {*found}]:
        log.info("%s: not read: %s", address, ", ".join(left[:10]) + " …" * (len(left) > 10))
    for each in found:
        yield from plain(each, options, f"{address.rstrip('/')}/{each.relative_to(path)}", scratch)


def read(path: Path, options: Options, address: str, dropped: Counter[str]) -> Iterator[Batch]:
    """Yield the rows of a plain file or a folder of texts, in their order.

    ``path`` is a local copy of ``address``, which errors name. A missing value is None; only an
    empty cell is missing: "NA" and "None" are texts. Rows that the options allow to drop are
    counted in ``dropped`` by reason.

    Raises:
        UserError: the file is empty, of another format or of another encoding.
    """
    format = detect(path, options, address)
    if format in ("csv", "tsv"):
        yield from delimited.read(path, options, address, dropped)
        return
    log.info("%s: format %s", address, format)
    if options.group_column and format in ("fasttext", "texts"):
        raise UserError(f"{address}: {format} has no columns, and so no --group-column")
    readers = {
        "json": json_files.read,
        "jsonl": json_files.read,
        "parquet": columnar.read_parquet,
        "arrow": columnar.read_arrow,
        "excel": excel.read,
        "fasttext": plain_texts.read_fasttext,
        "texts": plain_texts.read_folder,
    }
    yield from readers[format](path, options, address)


def detect(path: Path, options: Options, address: str) -> str:
    """Return the format of a file: the one given, else by content, else by the name.

    Raises:
        UserError: the file is empty or of no known format.
    """
    if path.is_dir():
        return "texts"
    with path.open("rb") as file:
        start = file.read(_START)
    if not start:
        raise UserError(f"{address}: the file is empty")
    if options.format != AUTO:
        return options.format
    for magic, format in (
        (b"PAR1", "parquet"),
        (columnar.FILE_MAGIC, "arrow"),
        (columnar.STREAM_MAGIC, "arrow"),
        (unpack.ZIP, "excel"),
    ):
        if start.startswith(magic):
            return format
    if start.startswith(_OLD_EXCEL):
        raise UserError(f"{address}: an old Excel file (.xls); save it as .xlsx or .csv")
    ending = _ending(address)
    if ending in (".parquet", ".pq", ".arrow", ".xlsx"):
        raise UserError(f"{address}: not {ENDINGS[ending].capitalize()}; see --format")
    encoding = encodings.detect(path, options.encoding, address)
    with path.open(encoding=encoding, errors="replace") as text:
        sample = text.read(_START)
    if len(_CONTROL.findall(sample)) > _MOST_CONTROL * len(sample):
        raise UserError(f"{address}: neither text nor a known format; see --format")
    content = sample.lstrip().lower()
    if content.startswith(("<!doctype html", "<html")):
        raise UserError(f"{address}: a web page, not data; download the file itself")
    if content.startswith(plain_texts.MARK):
        return "fasttext"
    if content.startswith(("{", "[")) and ending not in (".csv", ".tsv"):
        return "json"
    return ENDINGS.get(ending, "csv")


def _ending(address: str) -> str:
    """Return the ending of the name that tells the format."""
    # only an address on the web has a query or a fragment behind its path
    web = address.startswith(("http://", "https://"))
    name = Path(urlsplit(address).path if web else address).name.lower()
    for packed in unpack.COMPRESSED_ENDINGS:
        name = name.removesuffix(packed)
    return Path(name).suffix
