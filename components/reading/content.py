"""What tells the content of a source, so that it is read again only if that has changed.

A hash of files, the entity tag of objects in S3 and the like, what a web server says of its file,
and a hash of the rows of a database's query, in any order. Times of files say nothing; the names of
files in a folder do.
"""

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

from components.reading import builtin, exclusion, several, sources, storage
from components.reading.batches import Batch
from components.reading.options import Options
from components.reading.passwords import is_database, shown

CHUNK = 1 << 20  # bytes
SLOW = 1 << 30  # bytes, more than which take seconds

log = logging.getLogger("source")


class Rows:
    """A hash of rows that does not depend on their order, which a database does not promise."""

    def __init__(self) -> None:
        self._sum = self._count = 0

    def add(self, batch: Batch) -> None:
        for row in zip(batch.texts, batch.labels, batch.groups, strict=True):
            digest = hashlib.sha256(repr(row).encode(errors="surrogatepass")).digest()
            self._sum = (self._sum + int.from_bytes(digest)) % (1 << 256)
        self._count += len(batch.texts)

    def __str__(self) -> str:
        return f"rows:{self._count} sha256:{self._sum:064x}"


def identify(options: Options, with_databases: bool = True) -> dict[str, str]:
    """Return what tells the content of each source, by its name.

    That of a database takes as long as to read it, and can be left out.

    Raises:
        UserError: there is no such source, or access is denied.
        UnavailableError: the storage, the web server or the database does not respond.
    """
    found = {
        name: _content(each)
        for name, each in several.by_name(options).items()
        if with_databases or not is_database(each.source)
    }
    for parameter, address in exclusion.lists(options).items():
        found[f"ingest.{parameter}"] = _content(replace(options, source=address))
    return found


def _content(options: Options) -> str:
    source = options.source
    scheme, _, rest = source.partition("://")
    if is_database(source):
        return _of_rows(options)
    if builtin.is_name(source):
        return builtin.content(source)
    if rest and scheme == "s3":
        if source.endswith("/"):
            return f"etags:{_together(sources.objects(options))}"
        bucket, key = sources.bucket_and_key(source)
        with sources.s3_errors(source):
            return f"etag:{sources.s3_client().head_object(Bucket=bucket, Key=key)['ETag']}"
    if rest and scheme in ("http", "https"):
        return _of_web(source)
    if storage.is_address(source):
        tags = storage.tags(source, options)
        return f"etags:{_together(tags)}" if source.endswith("/") else tags[source]
    path = sources.local(source)
    if path.is_file():
        return f"sha256:{_of_file(path)}"
    inside = sorted(each for each in path.rglob("*") if each.is_file())
    return f"sha256:{_together({str(each.relative_to(path)): _of_file(each) for each in inside})}"


def _of_rows(options: Options) -> str:
    log.info("reading the query of %s", shown(options.source))
    rows = Rows()
    from components.reading import databases

    for batch in databases.read(options):
        rows.add(batch)
    return str(rows)


def _of_file(path: Path) -> str:
    size = path.stat().st_size
    if size > SLOW:
        log.info("hashing %s, %.1f GB", path, size / 1e9)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_web(source: str) -> str:
    """Return the entity tag, else the time of the last change, else a hash of the whole answer."""
    with sources.web(source) as response:  # HEAD is refused for an address that is signed for GET
        headers = response.headers
        if tag := headers.get("etag"):
            return f"etag:{tag}"
        if modified := headers.get("last-modified"):
            return f"modified:{modified}, {headers.get('content-length')} bytes"
        digest, received = hashlib.sha256(), 0
        while part := response.read(CHUNK):
            digest.update(part)
            received += len(part)
        sources.check_length(response, received, source)
    return f"sha256:{digest.hexdigest()}"


def _together(parts: dict[str, str]) -> str:
    """Return one hash of the names and contents of several files."""
    lines = "".join(f"{content} {name}\n" for name, content in parts.items())
    return hashlib.sha256(lines.encode()).hexdigest()
