"""The objects in DVC's cache, and in its remotes, that hold a text or come from one that does."""

import io
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import UserError
from components.forgetting import contents, lineage
from components.forgetting.lineage import StageRun
from components.forgetting.removal import Left, Removed
from components.forgetting.wanted import Wanted
from components.io.matrices import MATRIX_FILE

log = logging.getLogger("forget")

REVIEWS = "data/reviews.parquet"  # the output of ingest
PARQUET = b"PAR1"
PROGRESS = 500  # objects between two lines of progress
DIRECTORY = ".dir"  # ends the MD5 of a directory; its object lists the files


@dataclass(frozen=True)
class Found:
    """The objects to remove: those that hold a text, and those that come from them.

    ``outputs`` are those that hold one and are whole outputs of runs, not files of a directory.
    ``strays`` hold a text and are of no recorded run, such as files of ``dvc add``. ``unknown``
    come from reviews that are not in the cache, and ``unread`` are of no recorded run and no tables
    of Parquet. ``data_digests`` are those of the training data
    that held it, as far as the cache has them, and ``clean`` those of data that did not.
    """

    holding: set[str] = field(default_factory=set)
    derived: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    strays: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    data_digests: set[str] = field(default_factory=set)
    clean: set[str] = field(default_factory=set)


class Cache:
    """DVC's cache of the project in the working directory, locked while it is open."""

    def __init__(self, repo: Any) -> None:
        self._repo = repo
        self._objects = Path(repo.cache.local.path)
        self._runs = Path(repo.cache.legacy.path) / "runs"

    def find(self, wanted: Wanted, keep_present: bool, earlier: Iterable[StageRun] = ()) -> Found:
        """Find the objects of texts; those of ``dvc.lock`` are left out if ``keep_present``.

        ``earlier`` are the runs in a ``dvc.lock`` that was perhaps never committed; DVC's cache of
        runs leaves out stages whose outputs persist.
        What a run wrote is kept, file by file, if a run that read nothing of the texts wrote it.
        """
        md5s = [*self._listed()]
        runs = [*dict.fromkeys([*lineage.runs(self._runs), *earlier])]
        members = {md5: self._members(md5) for md5 in md5s if md5.endswith(DIRECTORY)}
        searched = {md5: self._has_copy(md5, wanted) for md5 in self._progress(md5s)}
        holding = {md5 for md5, holds in searched.items() if holds}
        held = lineage.held(holding, runs, members)
        wrote = {md5 for run in runs for _, md5 in run.wrote}
        present = self._present()
        kept = wrote - held
        kept |= {each for md5 in kept for each in members.get(md5, {})}
        kept |= present if keep_present else set()
        gone = wrote & held
        gone |= {each for md5 in gone for each in members.get(md5, {})}
        gone = (gone - kept) & {*md5s}
        missing = {md5 for run in runs for path, md5 in run.wrote if path == REVIEWS} - {*md5s}
        return Found(
            gone & holding,
            gone - holding,
            gone & holding & wrote,
            {md5 for md5 in holding - gone - kept if not md5.endswith(DIRECTORY)},
            lineage.held(missing, runs, {}) & {*md5s} - gone - present,
            {md5 for md5, holds in searched.items() if holds is None} - self._recorded(wrote),
            self._data_digests(runs, gone, members),
            self._data_digests(runs, kept, members),
        )

    def remove(self, found: Found) -> Iterator[Removed]:
        """Delete objects; if this is interrupted, the rest can still be found.

        Files go before the directories that list them, and these before the outputs that hold a
        text, by which DVC's record finds both.
        """

        def order(md5: str) -> tuple[bool, bool, bool, str]:
            return md5 in found.outputs, md5.endswith(DIRECTORY), md5 in found.holding, md5

        for md5 in sorted(found.derived | found.holding, key=order):
            self._path(md5).unlink(missing_ok=True)
            yield Removed(f"DVC's cache: {md5}", "DVC object", 1, f"md5:{md5}")

    def left(self, found: Found) -> Iterator[Left]:
        """Yield the objects that hold a text, or may come from one, and are not removed."""
        for md5 in sorted(found.strays):
            yield Left(f"DVC's cache: {md5}", "holds it, and is of no recorded run: of dvc add?")
        if found.unknown:
            what = f"{len(found.unknown)} objects come from reviews that are not in the cache"
            yield Left("DVC's cache", f"{what}, so that it cannot be known: dvc gc --workspace")
        if found.unread:
            what = f"{len(found.unread)} objects are of no recorded run and no tables of Parquet"
            yield Left("DVC's cache", f"{what}, as of dvc add: not searched")

    def remotes(self) -> list[str]:
        return sorted(self._repo.config["remote"])

    def remove_from(self, remote: str, md5s: set[str]) -> Iterator[Removed | Left]:
        """Delete objects from a remote, but for those of ``dvc.lock``."""
        from botocore.exceptions import BotoCoreError
        from dvc.exceptions import DvcException

        place = f"DVC's remote {remote}"
        try:
            objects = self._repo.cloud.get_remote_odb(remote)
            for md5 in sorted(md5s - self._present()):
                try:  # exists() also says no where it may not look
                    objects.fs.info(objects.oid_to_path(md5))
                except FileNotFoundError:
                    continue
                objects.delete(md5)
                yield Removed(f"{place}: {md5}", "DVC object", 1, f"md5:{md5}")
        except (DvcException, BotoCoreError, OSError) as error:
            yield Left(place, f"not cleaned: {' '.join(str(error).split())}")
        else:
            if objects.fs.protocol != "local":
                yield Left(place, "if it keeps versions of deleted files, these still hold it")
            yield Left(place, "what was never in the cache of this machine is not searched")

    def _listed(self) -> Iterator[str]:
        for path in sorted(self._objects.glob("??/*")):
            if path.is_file():
                yield path.parent.name + path.name

    def _present(self) -> set[str]:
        """Return the objects of ``dvc.lock``, the files of directories too."""
        return self._recorded({md5 for run in lineage.present() for _, md5 in run.wrote})

    def _recorded(self, outputs: set[str]) -> set[str]:
        """Return outputs with the files of directories among them."""
        return outputs | {each for md5 in outputs for each in self._members(md5)}

    def _path(self, md5: str) -> Path:
        return self._objects / md5[:2] / md5[2:]

    def _members(self, md5: str) -> dict[str, str]:
        """Return the path of each file of a directory by its MD5."""
        try:
            listed = json.loads(self._path(md5).read_bytes())
            return {each["md5"]: each["relpath"] for each in listed}
        except (OSError, ValueError, LookupError, TypeError):
            return {}

    def _progress(self, md5s: list[str]) -> Iterator[str]:
        for number, md5 in enumerate(md5s):
            if number % PROGRESS == 0:
                log.info("searching DVC's cache, %d of %d objects", number, len(md5s))
            yield md5

    def _has_copy(self, md5: str, wanted: Wanted) -> bool | None:
        """Tell whether a table of reviews holds a text; None if an object is no table."""
        path = self._path(md5)
        try:
            with path.open("rb") as file:
                if file.read(len(PARQUET)) != PARQUET:
                    return False if md5.endswith(DIRECTORY) else None
            with pq.ParquetFile(path) as table:
                if contents.TEXT not in table.schema_arrow.names:
                    return False
                return any(
                    wanted.is_copy(text)
                    for batch in table.iter_batches(columns=[contents.TEXT])
                    for text in batch.column(0).to_pylist()
                    if text is not None
                )
        except (pa.ArrowException, OSError):
            return None

    def _data_digests(
        self, runs: list[StageRun], md5s: set[str], members: dict[str, dict[str, str]]
    ) -> set[str]:
        """Return the digests of the training data of the matrices among some objects."""
        found = set()
        for md5 in md5s & {each for run in runs for _, each in run.wrote}:
            for file, path in members.get(md5, {}).items():
                if path == MATRIX_FILE and self._path(file).exists():
                    facts = json.load(io.BytesIO(self._path(file).read_bytes()))
                    found.add(str(facts.get("data_digest")))
        return found


def is_project() -> bool:
    """Tell whether the working directory has a repository of DVC."""
    return Path(".dvc").is_dir()


@contextmanager
def opened() -> Iterator[Cache]:
    """Open the cache and hold DVC's lock.

    Raises:
        UserError: this is no project of DVC, or another command of DVC is running.
    """
    from dvc.exceptions import DvcException  # slow to import, and absent from the images
    from dvc.lock import LockError
    from dvc.repo import Repo

    try:
        with Repo() as repo, repo.lock:
            yield Cache(repo)
    except LockError as error:
        raise UserError(f"another command of DVC is running: {error}") from error
    except DvcException as error:
        raise UserError(str(error)) from error
