"""Find and remove texts in captures, feedback, queues and tables."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import chain

from components.errors import UserError
from components.forgetting import contents
from components.forgetting.contents import NotReadableError, Record
from components.forgetting.stores import PARTIAL, Store
from components.forgetting.wanted import Request, Wanted
from components.io.records import record
from components.io.reviews import identity

log = logging.getLogger("forget")

FEEDBACK = "feedback/"
PROGRESS = 500  # files between two lines of progress


@record
class Removed:
    """The records removed from a file, and its digests; ``after`` is None if nothing was left.

    ``what`` is *prediction*, *feedback*, *queue*, *table*, *replaced version* or *DVC object*.
    """

    place: str
    what: str
    records: int
    before: str
    after: str | None = None


@record
class Left:
    """A place where a text still is, or may be, and the reason."""

    place: str
    why: str


def find_requests(
    places: Iterable[Store], requests: list[Request], wanted: Wanted
) -> list[Request]:
    """Add the texts of captured requests to ``wanted``; return the requests that were not found.

    Raises:
        UserError: different texts have the id and the index of a request, as a client chose it.
    """
    found: dict[Request, dict[int, set[str]]] = {}
    for store in places:
        for name, content in _contents(store):
            for each in _read(store, name, content):
                if each.id is None or each.index is None:
                    continue
                for request in requests:
                    if request.is_of(each.id, each.index):
                        for text in each.texts:
                            wanted.add_captured(f"--id {request}", text)
                            named = found.setdefault(request, {}).setdefault(each.index, set())
                            named.add(identity(text))
    for request, texts in found.items():
        for named in texts.values():
            if len(named) > 1:
                raise UserError(
                    f"--id {request}: {len(named)} texts have this id, which their clients chose:"
                    f" name the text by --text-file, or by its identity: {', '.join(sorted(named))}"
                )
    return [request for request in requests if request not in found]


def survey(places: Iterable[Store], wanted: Wanted) -> Counter[str]:
    """Return the records of each place that hold a text, and learn the requests that held it.

    A text may be in a replaced version alone, such as of an object that a lifecycle rule deleted.
    """
    found: Counter[str] = Counter()
    for store in places:
        for name, content in chain(_contents(store), _replaced(store)):
            for each in _read(store, name, content):
                held = sum(map(wanted.is_copy, each.texts))
                if held:
                    found[store.address + name] += held
                    if each.id is not None and each.index is not None:
                        wanted.requests.add((each.id, each.index))
    return found


def _replaced(store: Store) -> Iterator[tuple[str, bytes]]:
    try:
        for old in store.replaced():
            yield old.name.removesuffix(PARTIAL), old.read()
    except UserError as error:  # remove() says it in the certificate
        log.info("%s: replaced versions are not searched: %s", store.address, error)


def remove(store: Store, what: str, wanted: Wanted) -> Iterator[Removed | Left]:
    """Remove the records of texts from all files of a store; yield what was done, file by file.

    Files that only name a prediction come first: if this is interrupted, what they name can still
    be found when it runs again. A file of JSON Lines that has lost all its lines is deleted.
    """
    named = store.files()
    for number, file in enumerate(
        sorted(named, key=lambda each: (_order(each.name), each.name)), 1
    ):
        if number % PROGRESS == 0:
            log.info("%s: %d of %d files", store.address, number, len(named))
        place, content = store.address + file.name, store.read(file.name)
        try:
            kept, removed = contents.without(file.name, content, wanted)
            if removed:
                gone = not kept.strip() and file.name.lower().endswith(".jsonl")
                if gone:
                    store.delete(file.name)
                else:
                    store.write(file.name, kept)
                kind = "feedback" if file.name.startswith(FEEDBACK) else what
                after = None if gone else _digest(kept)
                log.info("%s: %d removed", place, removed)
                yield Removed(place, kind, removed, _digest(content), after)
            if unread := contents.unreadable_lines(file.name, kept):
                yield Left(place, f"not searched: {unread} lines are not JSON")
            if elsewhere := contents.texts_elsewhere(file.name, kept, wanted):
                yield Left(place, f"{elsewhere} fields other than text hold it: delete them")
        except NotReadableError as error:
            yield Left(place, f"not searched: {error}")
    for name, why in store.unsearched():
        yield Left(store.address + name, why)
    yield from _remove_replaced(store, wanted)


def _remove_replaced(store: Store, wanted: Wanted) -> Iterator[Removed | Left]:
    """Delete replaced versions that hold a text, and what a killed process left unfinished."""
    try:
        for old in store.replaced():
            place, content = store.address + old.name, old.read()
            try:
                held = contents.without(old.name, content, wanted)[1]
            except NotReadableError as error:
                yield Left(place, f"a replaced version, not searched: {error}")
                continue
            if held or old.name.endswith(PARTIAL):
                old.delete()
                yield Removed(place, "replaced version", held, _digest(content))
    except UserError as error:  # a permission is missing, or the storage knows no versions
        why = "replaced versions of its objects may hold the texts until the bucket deletes them"
        yield Left(store.address, f"{why}: {error}")


def _order(name: str) -> int:
    """Return 0 for a file that may name predictions by id alone, as feedback does, else 1."""
    return 0 if name.startswith(FEEDBACK) or "/labels" in f"/{name}" else 1


def _contents(store: Store) -> Iterator[tuple[str, bytes]]:
    files = store.files()
    log.info("searching %s, %d files", store.address, len(files))
    for number, file in enumerate(files, 1):
        if number % PROGRESS == 0:
            log.info("%s: %d of %d files", store.address, number, len(files))
        yield file.name, store.read(file.name)


def _read(store: Store, name: str, content: bytes) -> Iterator[Record]:
    try:
        yield from contents.records(name, content)
    except NotReadableError as error:
        log.info("%s%s: not searched: %s", store.address, name, error)


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
