"""Forget texts in an order that may be interrupted: list, remove, train, clean, certify."""

import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from components.errors import UserError
from components.forgetting import (
    cache,
    certificate,
    lineage,
    listed,
    removal,
    sightings,
    versions,
)
from components.forgetting.cache import Cache, Found
from components.forgetting.certificate import Certificate
from components.forgetting.removal import Left, Removed
from components.forgetting.sightings import LABELLED
from components.forgetting.stores import Folder, Store
from components.forgetting.wanted import Wanted
from components.reading.options import Options

log = logging.getLogger("forget")

# repairs what an interrupted run left, and refuses to run beside another
REPRO = [sys.executable, "-m", "tools.repro"]
PIPELINE_RUNS = Path("pipeline-local")


@dataclass(frozen=True)
class Places:
    """Where copies of texts are removed: captures with feedback, queues, and labelled texts."""

    captured: list[Store]
    queues: list[Store]
    labelled: Store = field(default_factory=lambda: Folder(LABELLED.parent, LABELLED.name))

    def all(self) -> list[Store]:
        return [*self.captured, *self.queues, self.labelled]

    def by_kind(self) -> Iterator[tuple[str, Store]]:
        yield from (("prediction", each) for each in self.captured)
        yield from (("queue", each) for each in self.queues)
        yield "table", self.labelled

    def __str__(self) -> str:
        given = [each.address for each in [*self.captured, *self.queues]]
        return ", ".join([*given, str(LABELLED)])


class Forgetting:
    """Forgets texts; ``name`` is the registered model. Call ``search`` first."""

    def __init__(self, wanted: Wanted, options: Options, places: Places, name: str) -> None:
        self._wanted, self._options, self._places, self._name = wanted, options, places, name
        self._found: Counter[str] = Counter()
        self._in_sources: Counter[str] = Counter()
        self._removed: list[Removed] = []
        self._left: list[Left] = []
        self._tables: list[sightings.Searched] = []

    def search(self) -> None:
        """Find the copies, and the other forms of the texts by them.

        Raises:
            UserError: a text that is not on the list is nowhere.
        """
        self._tables = sightings.tables(sightings.FOLDERS, self._wanted)
        self._in_sources, unsearched = sightings.sources(self._options, self._wanted)
        self._found = removal.survey(self._places.all(), self._wanted)
        before = listed.read(self._options.forgotten).keys()
        if missing := self._wanted.not_found(before):
            unknown = "".join(f"; not searched: {each.place}" for each in unsearched)
            raise UserError(
                f"{', '.join(missing)}: found nowhere in {self._places}, the tables of"
                f" {', '.join(sightings.FOLDERS)} or the sources of ingest{unknown}"
            )
        self._left = unsearched
        for flag, given in (
            ("--captured", self._places.captured),
            ("--queues", self._places.queues),
        ):
            if not given:
                self._left.append(Left(flag, "not given, so not searched"))
        if PIPELINE_RUNS.exists():
            self._left.append(Left(f"{PIPELINE_RUNS}/", "artifacts of pipelines, not searched"))

    def plan(self) -> Iterator[str]:
        """Yield what would be removed, and what would stay."""
        yield f"identities: {', '.join(sorted(self._wanted.identities))}"
        for place, records in sorted(self._found.items()):
            yield f"{place}: {records} records to remove"
        for table in self._tables:
            if table.found and table.path != str(LABELLED):
                yield f"{table.path}: {table.found} of {table.rows} rows, gone after training"
        if cache.is_project():
            with cache.opened() as opened:
                objects = opened.find(self._wanted, keep_present=False)
            yield (
                f"DVC's cache: {len(objects.holding)} objects hold a text,"
                f" at most {len(objects.derived)} come from them"
            )
        for left in [*self._left, *self._remaining()]:
            yield f"{left.place}: {left.why}"

    def run(self, train: bool, remotes: bool) -> Path:
        """Forget, and return the path of the certificate.

        Raises:
            UserError: training failed, or the data still hold a text.
        """
        at = datetime.now(UTC).isoformat(timespec="seconds")
        before = certificate.model()
        earlier = lineage.present()
        self._list()
        for what, store in self._places.by_kind():
            self._note(removal.remove(store, what, self._wanted))

        def write(finished: bool, **found: object) -> Path:
            self._list()  # other forms of the texts may have been found since
            values = {
                "at": at,
                "finished": finished,
                "identities": sorted(self._wanted.identities),
                "listed_in": self._options.forgotten,
                "removed": self._removed,
                "tables_before": self._tables,
                "tables_after": [],
                "left": [*self._left, *self._remaining()],
                "model_before": before,
            }
            return certificate.write(Certificate(**values | found))  # type: ignore[arg-type]

        write(finished=False)
        objects = Found()
        if train:
            _train()
            with cache.opened() as opened:
                objects = opened.find(self._wanted, keep_present=True, earlier=earlier)
                # once they are gone, nothing else tells a later run with --remotes what to remove
                write(finished=False, planned=sorted(objects.holding | objects.derived))
                self._clean(opened, objects, remotes)
        else:
            self._left.append(Left("data, models, reports, DVC's cache", "as before: --no-train"))
        after, tables = certificate.model(), sightings.tables(sightings.FOLDERS, self._wanted)
        digest = after.data_digest if after and train else None
        self._left += sightings.other_files(sightings.FOLDERS, self._wanted)
        self._left += versions.fitted_with(self._name, objects, digest)
        held = [f"{each.path} ({each.found} rows)" for each in tables if each.found]
        without = train and certificate.is_fitted_without(after, tables)
        found = {"tables_after": tables, "model_after": after, "without": without}
        path = write(finished=not held or not train, **found)
        if held and train:
            raise UserError(f"{', '.join(held)}: still hold a text after training; see {path}")
        return path

    def _list(self) -> None:
        new = listed.add(self._options.forgotten, self._wanted.identities)
        log.info("%d new identities in %s", new, self._options.forgotten)

    def _clean(self, opened: Cache, objects: Found, remotes: bool) -> None:
        for remote in opened.remotes():
            if not remotes:
                why = "not cleaned: run again with --listed --remotes"
                self._left.append(Left(f"DVC's remote {remote}", why))
                continue
            md5s = objects.holding | objects.derived | certificate.objects()
            self._note(opened.remove_from(remote, md5s))
        self._note(opened.remove(objects))
        self._note(opened.left(objects))
        log.info(
            "DVC's cache: removed %d objects that held a text, and %d that came from them",
            len(objects.holding),
            len(objects.derived),
        )

    def _remaining(self) -> Iterator[Left]:
        return sightings.remaining(self._in_sources, self._options, self._wanted)

    def _note(self, noted: Iterable[Removed | Left]) -> None:
        for each in noted:
            if isinstance(each, Removed):
                self._removed.append(each)
            else:
                self._left.append(each)


def _train() -> None:
    log.info("training without the texts")
    if subprocess.run(REPRO).returncode:
        raise UserError(
            "training failed; its message is above. The texts are listed, and removed from captures"
            " and queues: python -m components.forget --listed goes on"
        )
