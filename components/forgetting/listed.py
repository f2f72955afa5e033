"""The list of forgotten texts, which ``ingest.forgotten`` names: identities and times, no text."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from components.errors import UserError
from components.forgetting.stores import read_object, write_object
from components.io.files import replacing
from components.reading.exclusion import COLUMN

HEADER = (COLUMN, "when")
PARAMETER = "ingest.forgotten"


def require_address(address: str) -> None:
    """Check that the list can be written.

    Raises:
        UserError: the parameter is not set, or is an address that takes no file.
    """
    if not address:
        raise UserError(
            f"{PARAMETER} of params.yaml names no file; without one, ingest would read the texts"
            f" again from their sources: set it, such as {PARAMETER}: forgotten.csv"
        )
    if "://" in address and not address.startswith("s3://"):
        raise UserError(f"{PARAMETER}: {address}: a file or s3://bucket/key is wanted here")


def read(address: str) -> dict[str, str]:
    """Return the identities in the list, with the time of each; none if there is no list."""
    content = _content(address)
    if not content.strip():
        return {}
    try:
        rows = [*csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))]
        return {row[COLUMN]: row.get("when") or "" for row in rows}
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{PARAMETER}: {address}: not a list of forgotten texts ({error})"
        ) from error


def add(address: str, identities: Iterable[str]) -> int:
    """Add identities to the list, and return how many are new to it."""
    before = read(address)
    new = sorted(set(identities) - before.keys())
    if not new and _content(address):
        return 0
    when = datetime.now(UTC).isoformat(timespec="seconds")
    output = io.StringIO(newline="")
    writer = csv.writer(output, lineterminator="\n")
    writer.writerows([HEADER, *before.items(), *((each, when) for each in new)])
    content = output.getvalue().encode()
    if address.startswith("s3://"):
        write_object(address, content)
    else:
        with replacing(Path(address)) as partial:
            partial.write_bytes(content)
    return len(new)


def _content(address: str) -> bytes:
    if address.startswith("s3://"):
        return read_object(address) or b""
    try:
        return Path(address).read_bytes()
    except FileNotFoundError:
        return b""
