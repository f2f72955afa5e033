"""Bring reviews from files, S3, the web, databases and the built-in sets into one Parquet table."""

import logging
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from components import stage
from components.errors import UserError
from components.io import accounts
from components.io.accounts import FileAccount
from components.io.files import replacing
from components.io.reviews import GROUP, GROUPED, LABELLED, SCHEMA, class_metadata
from components.reading import builtin, exclusion, formats, labels, several
from components.reading.batches import Batch
from components.reading.content import Rows, identify
from components.reading.labels import Values
from components.reading.options import Options
from components.reading.passwords import is_database, shown
from components.reading.sources import fetch
from components.stage import Artifact

log = logging.getLogger("ingest")

# the rows while not all labels are known: the label is the number of its value
_SPOOL = pa.schema([("text", pa.string()), ("label", pa.int32()), GROUP])
_WHOLE = re.compile(r"(-?\d+)\.0+")
_FAST = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass
class _File:
    """What was read of a file: rows by the number of their label, and rows dropped by reason."""

    address: str
    codes: Counter[int] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Spooled:
    """The rows of a source in a file, with the class of each number of a label."""

    path: Path
    name: str
    class_of: list[str]
    classes: list[str]  # in order
    files: list[FileAccount]
    content: dict[str, str]  # what tells it, by the name of the source, if only its rows do


def ingest(options: Options, output: Path) -> list[FileAccount]:
    """Write the reviews of the sources to ``output`` in their order; return the account of rows.

    What a label stands for may depend on all others of its source, as a 1 does among stars. So the
    rows of a source go to a file beside ``output`` first, with their labels by number. A missing
    text stays missing, and validate reports it. Files are fetched one at a time and read in
    batches, so that memory does not grow with their number or size.

    Raises:
        UserError: a source cannot be read, a column is missing or a label has no class.
    """
    sources = several.by_name(options)
    for each in sources.values():
        labels.mapping(each.labels)  # a mistake in it is reported before hours of reading
    if options.forgotten and "forgotten" not in exclusion.lists(options):
        log.info("%s does not exist, so that no text is forgotten", options.forgotten)
    schema = GROUPED if any(each.group_column for each in sources.values()) else SCHEMA
    content, spooled = identify(options, with_databases=False), list[_Spooled]()
    spools = [
        output.with_name(f".{output.name}.{number}.partial") for number in range(len(sources))
    ]
    with replacing(output) as partial:
        try:
            for spool, (name, each) in zip(spools, sources.items(), strict=True):
                known = [found for source in spooled for found in source.classes]
                spooled.append(_spool(spool, name, each, known))
            account = [file for source in spooled for file in source.files]
            classes = labels.in_order(name for source in spooled for name in source.classes)
            labels.check_names(classes)
            for source in spooled:
                content |= source.content
            metadata = class_metadata(classes) | accounts.metadata(account, content)
            with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
                for source in spooled:
                    _write(source, classes, writer)
                writer.add_key_value_metadata(metadata)
        finally:
            for spool in spools:
                spool.unlink(missing_ok=True)
    return account


def _spool(path: Path, name: str, options: Options, known: list[str]) -> _Spooled:
    """Write the rows of a source to ``path``, and decide which class each label is of.

    ``known`` are the classes of the sources before it. A labelled prediction of another class, such
    as one that an older version had, is dropped: no test review would be of this class.
    """
    address = shown(options.source)
    values, files, content = Values(address), list[_File](), Rows()
    with pa.ipc.new_stream(path, _SPOOL, options=_FAST) as rows:
        _read(options, values, files, rows, content)
    if not any(file.codes for file in files):
        if name == LABELLED:  # all its labels were taken back
            return _Spooled(path, name, [], [], [_account(file, []) for file in files], {})
        raise UserError(f"{address}: holds no reviews{_why(files)}")
    if name == LABELLED:
        # its labels are names of classes, even where they look like numbers of stars
        spelled = values.spelled
        class_of = {key: each if each in known else labels.DROP for key, each in spelled.items()}
        classes: list[str] = []
    else:
        class_of, classes, said = labels.decide(values, options.labels)
        log.info("%s: labels: %s", name, said)
    account = [_account(file, [*class_of.items()]) for file in files]
    for each in account:
        log.info("%s", each)
    if name != LABELLED and not any(each.kept for each in account):
        raise UserError(f"{address}: all rows are dropped; see ingest.labels")
    told = {name: str(content)} if is_database(options.source) else {}
    return _Spooled(path, name, [*class_of.values()], classes, account, told)


def _read(
    options: Options,
    values: Values,
    files: list[_File],
    rows: pa.ipc.RecordBatchStreamWriter,
    content: Rows,
) -> None:
    """Write all rows of the source to ``rows``; count the values of labels, and rows by file.

    The rows of a database go into ``content``, as nothing else tells its content.
    """
    count = without_group = 0
    listed = exclusion.read(options)
    for file, batches in _opened(options):
        files.append(file)
        log.info("reading %s", file.address)
        for batch in batches:
            if is_database(options.source):
                content.add(batch)
            batch = exclusion.without(batch, listed, file.dropped)
            codes = [
                values.code(label, file.address, batch.unit, number)
                for label, number in zip(batch.labels, batch.numbers, strict=True)
            ]
            file.codes.update(codes)
            groups = pa.array(map(_group, batch.groups), pa.string())
            columns = [_texts(batch, file.address), pa.array(codes, pa.int32()), groups]
            rows.write_batch(pa.record_batch(columns, schema=_SPOOL))
            count += len(codes)
            without_group += groups.null_count
            log.info("%d rows", count)
    if options.group_column and without_group:
        log.info("%d of %d rows have no %s", without_group, count, options.group_column)


def _opened(options: Options) -> Iterator[tuple[_File, Iterator[Batch]]]:
    """Yield each file of the source, and its rows."""
    if builtin.is_name(options.source):
        yield _File(options.source), builtin.read(options.source)
        return
    if is_database(options.source):
        from components.reading import databases  # SQLAlchemy, which takes a third of a second

        yield _File(shown(options.source)), databases.read(options)
        return
    with tempfile.TemporaryDirectory() as scratch:
        for origin in fetch(options, Path(scratch)):
            plain = formats.plain(origin.path, options, origin.address, Path(scratch))
            for path, address in plain:
                file = _File(address)
                yield file, formats.read(path, options, address, file.dropped)


def _texts(batch: Batch, address: str) -> pa.Array:
    try:
        return pa.array(batch.texts, pa.string())
    except UnicodeEncodeError:  # JSON can spell half a surrogate pair
        for number, text in zip(batch.numbers, batch.texts, strict=True):
            try:
                (text or "").encode()
            except UnicodeEncodeError as error:
                where = f"{address}: {batch.unit} {number}"
                raise UserError(f"{where}: the text is not valid Unicode ({error})") from error
        raise


def _group(value: Any) -> str | None:
    """Return the text of a group, None if it is missing; 7 and 7.0 are one group."""
    if value is None or value != value:
        return None
    text = str(value).strip()
    whole = _WHOLE.fullmatch(text)  # pandas writes whole numbers so where some are missing
    return (whole[1] if whole else text) or None


def _why(files: list[_File]) -> str:
    dropped = sum((file.dropped for file in files), Counter[str]())
    return "".join(f"; {count} rows dropped ({why})" for why, count in dropped.items())


def _account(file: _File, classes: list[tuple[str, str]]) -> FileAccount:
    dropped = Counter(file.dropped)
    for code, count in file.codes.items():
        value, name = classes[code]
        if name == labels.DROP:
            dropped[f"label {value!r}"] += count
    read = file.codes.total() + file.dropped.total()
    return FileAccount(file.address, read, read - dropped.total(), dict(dropped))


def _write(source: _Spooled, names: list[str], writer: pq.ParquetWriter) -> None:
    """Write the rows that are kept, with the index of the class in the place of the value."""
    found = [-1 if name == labels.DROP else names.index(name) for name in source.class_of]
    index_of = np.array(found, np.int8)
    with (
        pa.OSFile(str(source.path)) as file,  # a path would be mapped into memory
        pa.ipc.open_stream(file) as rows,
    ):
        for batch in rows:
            indices = index_of[batch.column("label").to_numpy()]
            columns = {
                "text": batch.column("text"),
                "label": pa.array(indices),
                "source": pa.array([source.name] * len(batch), pa.string()),
                "group": batch.column("group"),
            }
            kept = pa.record_batch([columns[each] for each in writer.schema.names], writer.schema)
            writer.write_batch(kept.filter(pa.array(indices >= 0)))


def run(
    reviews: Annotated[
        Path, Artifact("Parquet file to write", "Dataset", output=True, flag="--output")
    ],
    options: Options,
) -> None:
    ingest(options, reviews)
    log.info("done: %s", reviews)


def main(argv: list[str] | None = None) -> int:
    return stage.main("ingest", run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
