"""Bring reviews from files, S3, the web or the built-in set into one Parquet table."""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from components import stage
from components.errors import UserError
from components.io import accounts
from components.io.accounts import FileAccount
from components.io.files import replacing
from components.io.reviews import SCHEMA, class_metadata
from components.reading import builtin, formats, labels
from components.reading.batches import Batch
from components.reading.labels import Values
from components.reading.options import Options
from components.reading.sources import fetch
from components.stage import Artifact

log = logging.getLogger("ingest")

# the rows while not all labels are known: the label is the number of its value
_SPOOL = pa.schema([("text", pa.string()), ("label", pa.int32()), ("source", pa.string())])
_FAST = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass
class _File:
    """What was read of a file: rows by the number of their label, and rows dropped by reason."""

    address: str
    codes: Counter[int] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


def ingest(options: Options, output: Path) -> list[FileAccount]:
    """Write the reviews of the source to ``output`` in their order and return the account of rows.

    What a label stands for may depend on all others, as a 1 does among stars. So the rows go to a
    file beside ``output`` first, with their labels by number. A missing text stays missing, and
    validate reports it. Files are fetched one at a time and read in batches, so that memory does
    not grow with their number or size.

    Raises:
        UserError: the source cannot be read, a column is missing or a label has no class.
    """
    labels.mapping(options.labels)  # a mistake in it is reported before hours of reading
    values, files = Values(options.source), list[_File]()
    spool = output.with_name(f".{output.name}.rows.partial")
    with replacing(output) as partial:
        try:
            with pa.ipc.new_stream(spool, _SPOOL, options=_FAST) as rows:
                _read(options, values, files, rows)
            if not any(file.codes for file in files):
                raise UserError(f"{options.source}: holds no reviews{_why(files)}")
            class_of, classes, said = labels.decide(values, options.labels)
            log.info("labels: %s", said)
            account = [_account(file, [*class_of.items()]) for file in files]
            for each in account:
                log.info("%s", each)
            if not any(each.kept for each in account):
                raise UserError(f"{options.source}: all rows are dropped; see ingest.labels")
            indices = [_index(name, classes) for name in class_of.values()]
            _write(spool, partial, indices, class_metadata(classes), account)
        finally:
            spool.unlink(missing_ok=True)
    return account


def _read(
    options: Options, values: Values, files: list[_File], rows: pa.ipc.RecordBatchStreamWriter
) -> None:
    """Write all rows of the source to ``rows``; count the values of labels, and rows by file."""
    count = 0
    for file, name, batches in _opened(options):
        files.append(file)
        log.info("reading %s", file.address)
        for batch in batches:
            codes = [
                values.code(label, file.address, batch.unit, number)
                for label, number in zip(batch.labels, batch.numbers, strict=True)
            ]
            file.codes.update(codes)
            columns = [_texts(batch, file.address), pa.array(codes, pa.int32())]
            columns.append(pa.array([name] * len(codes), pa.string()))
            rows.write_batch(pa.record_batch(columns, schema=_SPOOL))
            count += len(codes)
            log.info("%d rows", count)


def _opened(options: Options) -> Iterator[tuple[_File, str, Iterator[Batch]]]:
    """Yield each file of the source, the name of the source, and its rows."""
    if options.source.partition(":")[0] == builtin.PREFIX:
        batches = builtin.read(options.source)
        yield _File(options.source), builtin.name(options.source), batches
        return
    with tempfile.TemporaryDirectory() as scratch:
        for origin in fetch(options, Path(scratch)):
            plain = formats.plain(origin.path, options, origin.address, Path(scratch))
            for path, address in plain:
                file = _File(address)
                yield file, origin.name, formats.read(path, options, address, file.dropped)


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


def _write(
    spool: Path,
    target: Path,
    index_of: list[int],
    metadata: dict[str, str],
    account: list[FileAccount],
) -> None:
    """Write the rows that are kept, with the index of the class in the place of the value."""
    classes = np.array(index_of, np.int8)
    with (
        pa.OSFile(str(spool)) as file,  # a path would be mapped into memory
        pa.ipc.open_stream(file) as rows,
        pq.ParquetWriter(target, SCHEMA, compression="zstd") as writer,
    ):
        for batch in rows:
            indices = classes[batch.column("label").to_numpy()]
            kept = batch.set_column(1, SCHEMA.field("label"), pa.array(indices))
            writer.write_batch(kept.filter(pa.array(indices >= 0)))
        writer.add_key_value_metadata(metadata | accounts.metadata(account))


def _index(name: str, classes: list[str]) -> int:
    return -1 if name == labels.DROP else classes.index(name)


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
