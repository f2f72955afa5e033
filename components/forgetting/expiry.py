"""Delete captures, feedback and queues that are older than a number of days."""

import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

from components.errors import UserError
from components.forgetting.stores import File, Store

log = logging.getLogger("forget")

DRAW = "queue.json"
_DAY = re.compile(r"(?:feedback/)?(\d{4}-\d\d-\d\d)/")


def expire(
    store: Store, days: int, now: datetime, queues: bool = False, dry_run: bool = False
) -> Counter[str]:
    """Delete what is older than ``days``, also its replaced versions; return files by folder.

    Captures and feedback are in folders by day. A queue is as old as its draw.
    """
    files = store.files()
    folders = _old_queues(store, files, now - timedelta(days)) if queues else ()
    old = {*folders, *(() if queues else _old_days(files, days, now))}
    found = [file for file in files if _folder(file.name, queues) in old]
    if not dry_run:
        # the draw last: without it, the age of what an interruption left would not be known
        for file in sorted(found, key=lambda each: each.name.endswith(f"/{DRAW}")):
            store.delete(file.name)
        _delete_replaced(
            store,
            lambda name: (
                _folder(name, queues) in old or (not queues and _is_old_day(name, days, now))
            ),
        )
    return Counter(f"{store.address}{_folder(file.name, queues)}" for file in found)


def _delete_replaced(store: Store, is_old: Callable[[str], bool]) -> None:
    try:
        for each in store.replaced():
            if is_old(each.name):
                each.delete()
    except UserError as error:  # a permission is missing, or the storage knows no versions
        log.warning("%s: replaced versions stay: %s", store.address, error)


def _folder(name: str, queues: bool) -> str | None:
    if queues:
        folder, slash, _ = name.partition("/")
        return folder if slash else None
    match = _DAY.match(name)
    return match[0] if match else None


def _old_days(files: list[File], days: int, now: datetime) -> Iterator[str]:
    for file in files:
        if _is_old_day(file.name, days, now):
            yield str(_folder(file.name, queues=False))


def _is_old_day(name: str, days: int, now: datetime) -> bool:
    match = _DAY.match(name)
    try:
        return (
            match is not None
            and (now.astimezone(UTC).date() - date.fromisoformat(match[1])).days > days
        )
    except ValueError:  # no date, such as 2026-13-01
        return False


def _old_queues(store: Store, files: list[File], before: datetime) -> Iterator[str]:
    for file in files:
        folder, _, name = file.name.partition("/")
        if name == DRAW and _drawn(store, file) < before:
            yield folder


def _drawn(store: Store, file: File) -> datetime:
    """Return the latest time that the draw names, else when the file was written."""
    try:
        draw = json.loads(store.read(file.name))
    except ValueError:
        return file.modified
    named = [time for key in ("until", "window") for time in _times(draw, key)]
    return max(named, default=file.modified)


def _times(draw: object, key: str) -> Iterator[datetime]:
    value = draw.get(key) if isinstance(draw, dict) else None
    parts = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    )
    for part in parts:
        try:
            time = datetime.fromisoformat(str(part))
        except ValueError:
            continue
        yield time if time.tzinfo else time.replace(tzinfo=UTC)
