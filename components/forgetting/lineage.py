"""What DVC has recorded: which object came from which, in every run and every commit.

``dvc.lock`` has the present run, ``git`` those of all commits, and DVC's cache of runs those that
were never committed.
"""

import logging
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

log = logging.getLogger("forget")

LOCK = Path("dvc.lock")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class StageRun:
    """A run of a stage: the MD5 sums that it read, and those that it wrote, by path."""

    read: frozenset[str]
    wrote: tuple[tuple[str, str], ...]


def present() -> list[StageRun]:
    """Return the runs in ``dvc.lock``."""
    return [*_of_lock(LOCK.read_bytes())] if LOCK.exists() else []


def runs(run_cache: Path) -> list[StageRun]:
    """Return all recorded runs: of ``dvc.lock``, of each commit's, and of DVC's cache of runs."""
    found = dict.fromkeys(present())
    locks = [*_committed()]
    log.info("reading %d committed versions of %s", len(locks), LOCK)
    for content in locks:
        found |= dict.fromkeys(_of_lock(content))
    entries = [path for path in run_cache.glob("*/*/*") if path.is_file()]
    for path in entries:
        if (entry := _parse(path.read_bytes())) is not None:
            found |= dict.fromkeys(_of_stage(entry))
    return [*found]


def held(
    sources: Iterable[str], runs: Iterable[StageRun], members: Mapping[str, Iterable[str]]
) -> set[str]:
    """Return the objects that hold a text or come from one that does.

    ``sources`` are the objects whose content holds it, and ``members`` the files of a directory.
    A directory with such a file is one, too. An object is derived if every run that wrote it read
    such an object: a small result, like a selection, may have the same bytes without the text.
    """
    writers: dict[str, list[StageRun]] = defaultdict(list)
    for run in runs:
        for _, md5 in run.wrote:
            writers[md5].append(run)
    found = set(sources)
    found |= {md5 for md5, files in members.items() if not found.isdisjoint(files)}
    while True:
        derived = {
            md5
            for md5, of in writers.items()
            if md5 not in found and not any(run.read.isdisjoint(found) for run in of)
        }
        if not derived:
            return found
        found |= derived


def _committed() -> Iterator[bytes]:
    """Yield each version of the lock in git, of all branches and stashes; none without git."""
    listed = _git("log", "--all", "-m", "--format=", "--raw", "--no-abbrev", "--", str(LOCK))
    blobs = {line.split()[3] for line in listed.decode().splitlines() if line.startswith(":")}
    for blob in sorted(blobs):
        if set(blob) != {"0"}:  # a commit that deletes the file
            yield _git("cat-file", "blob", blob)


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], capture_output=True).stdout
    except FileNotFoundError:
        return b""


def _of_lock(content: bytes) -> Iterator[StageRun]:
    stages = (_parse(content) or {}).get("stages")
    for stage in stages.values() if isinstance(stages, dict) else ():
        yield from _of_stage(stage)


def _of_stage(stage: Any) -> Iterator[StageRun]:
    try:
        deps, outs = stage.get("deps") or [], stage.get("outs") or []
        wrote = [(each["path"], each["md5"]) for each in outs if "md5" in each]
        yield StageRun(frozenset(each["md5"] for each in deps if "md5" in each), tuple(wrote))
    except (AttributeError, KeyError, TypeError):  # of another version of DVC
        return


def _parse(content: bytes) -> Any:
    try:
        value = yaml.load(content, _Loader)  # noqa: S506 - a loader of plain values
    except yaml.YAMLError:  # cut off, or a conflict
        return None
    return value if isinstance(value, dict) else None
