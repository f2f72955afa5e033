"""The table of labelled predictions: what join writes and ingest reads."""

import io
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import UserError
from components.labelling import folders
from components.labelling.joining import Key
from components.reading import labelled

SCHEMA = pa.schema(
    [
        *(("text", pa.string()), ("label", pa.string())),
        *(("request_id", pa.string()), ("index", pa.int64()), ("version", pa.string())),
        *(("channel", pa.string()), ("by", pa.string())),
    ]
)


def write(address: str, rows: Mapping[Key, Mapping[str, object]]) -> None:
    """Write the rows in the order of their keys, unless the file has them already.

    Nothing is written as long as there never was a label.

    Raises:
        UserError: the address is not that of a file, or access is denied.
        UnavailableError: S3 does not respond.
    """
    folder, name = _place(address)
    known = labelled.exists(address)
    if not rows and not known:
        return
    table = pa.Table.from_pylist([dict(rows[key]) for key in sorted(rows)], SCHEMA)
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    if known and folders.read(folder, name) == content.getvalue():
        return
    folders.write(folder, name, content.getvalue())


def _place(address: str) -> tuple[str, str]:
    """Return the folder or prefix of an address, and the name of its file."""
    folder, _, name = address.rpartition("/")
    if not name or folder == "s3:/":
        raise UserError(f"--labelled {address}: not a file; name one, such as labelled.parquet")
    return (folder, name) if "://" in address else (str(Path(address).parent), name)


def require_no_labels(address: str, queues: str) -> None:
    """Refuse to empty the table where no queue is to have taken labels from.

    Raises:
        UserError: it has labels; or access is denied.
        UnavailableError: S3 does not respond.
    """
    folder, name = _place(address)
    if not labelled.exists(address):
        return
    if pq.read_metadata(io.BytesIO(folders.read(folder, name))).num_rows:
        raise UserError(
            f"--queues {queues}: no queue of this model is there, but {address} has labels of one;"
            f" name the folder of its queues, or delete {address}"
        )
