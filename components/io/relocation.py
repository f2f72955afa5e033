"""Correct the artifact paths of a SQLite registry whose folder was moved, copied or renamed.

MLflow stores the absolute path of every artifact. After a move each reader fails, and each writer
makes the old folder again; after a copy each writer writes into the original.
"""

import logging
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from components.errors import UnavailableError, UserError

ARTIFACTS = "mlruns"  # MLflow's name of the folder that should lie beside the database
# the columns of MLflow's tables that hold paths of artifacts
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),  # of the key mlflow.artifactLocation
)
# how MLflow lays out an experiment, and its runs, models and traces
_PLACE = re.compile(
    rf"(?P<root>.*)/{ARTIFACTS}/(?P<rest>\d+(/(models/|traces/)?[\w-]+/artifacts(/.*)?)?)",
    re.DOTALL,
)
_SECONDS = 20  # to wait for another process that writes, as MLflow does

log = logging.getLogger("registry")


class _Stored(NamedTuple):
    """A path in the database; ``rest`` is its part after ``mlruns/``."""

    table: str
    column: str
    row: int
    rest: str


class _Move(NamedTuple):
    """Paths that point into the folder ``old``, and are to point into ``new``."""

    old: Path
    new: Path
    paths: list[_Stored]


def local_path(stored: str) -> Path | None:
    """Return the path that MLflow reads ``stored`` as, None if it is not on this machine."""
    if stored.startswith("file:"):
        return Path(unquote(urlsplit(stored).path))
    return Path(unquote(stored)) if stored.startswith("/") else None


def artifact_root(database: Path) -> str:
    """Return the location of the artifacts of new experiments: beside the database."""
    return _location(database.resolve().parent / ARTIFACTS)


def relocate(database: Path) -> None:
    """Let the paths of artifacts that lie beside the database now point there.

    Other paths stay: the artifacts are where the path says, or in neither place.

    Raises:
        UserError: the file is not a database of MLflow, or must be changed and is read-only.
        UnavailableError: another process has locked it for too long.
    """
    address = f"{database.resolve().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, _SECONDS, isolation_level=None, uri=True)) as opened:
            if not (moves := _moves(opened, database)):
                return
            opened.execute("BEGIN IMMEDIATE")
            # again: another process may have corrected the paths before this one got the lock
            moves = _moves(opened, database)
            for move in moves:
                for table, column, row, rest in move.paths:
                    value = _location(move.new / ARTIFACTS / rest)
                    statement = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"  # noqa: S608
                    opened.execute(statement, (value, row))
            opened.execute("COMMIT")
    except sqlite3.Error as error:
        raise _explained(database, error) from error
    for old, new, paths in moves:
        number = len(paths)
        log.warning(
            "%s was moved from %s: %d artifact paths now point to %s", database, old, number, new
        )


def _moves(opened: sqlite3.Connection, database: Path) -> list[_Move]:
    home = database.resolve().parent
    # a database below the working directory has its older artifacts in a folder above
    nearby = [home, database.absolute().parent, *home.parents]
    moves = []
    for old, stored in _by_folder(opened).items():
        if old.resolve() == home:
            continue
        runs = [each.rest for each in stored if "/" in each.rest]
        here = next((new for new in nearby if any(_has(new, rest) for rest in runs)), None)
        if here is None and _is_in_use(old, database):
            continue
        new = here or home
        if new.resolve() == old.resolve():
            continue
        paths = [
            each
            for each in stored
            if each.table == "experiments"  # where new runs will write
            or _has(new, each.rest)
            or (here and not _has(old, each.rest))
        ]
        if paths:
            moves.append(_Move(old, new, paths))
    return moves


def _by_folder(opened: sqlite3.Connection) -> dict[Path, list[_Stored]]:
    """Return the local paths in the database by the folder that their ``mlruns`` is in."""
    query = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
    present = set(opened.execute(query))
    if _COLUMNS[0] not in present:
        raise sqlite3.DatabaseError("it has no table of experiments")
    folders: dict[Path, list[_Stored]] = {}
    for table, column in (each for each in _COLUMNS if each in present):
        for row, value in opened.execute(f"SELECT rowid, {column} FROM {table}"):  # noqa: S608
            path = local_path(value or "")
            if path and (place := _PLACE.fullmatch(str(path))):
                stored = _Stored(table, column, row, place["rest"])
                folders.setdefault(Path(place["root"] or "/"), []).append(stored)
    return folders


def _has(folder: Path, rest: str) -> bool:
    # unlike Path.exists, access takes what must not be looked into as absent
    return os.access(folder / ARTIFACTS / rest, os.F_OK)


def _is_in_use(old: Path, database: Path) -> bool:
    """Tell whether ``old`` has artifacts and no database of its own that they may belong to."""
    other = old / database.name
    own = os.access(other, os.F_OK) and not other.samefile(database)
    return os.access(old / ARTIFACTS, os.F_OK) and not own


def _location(path: Path) -> str:
    """Return ``path`` as MLflow reads it back: it decodes %41 even in what is not a URI."""
    return str(path) if unquote(str(path)) == str(path) else path.as_uri()


def _explained(database: Path, error: sqlite3.Error) -> Exception:
    if "locked" in str(error):
        return UnavailableError(f"MLflow at {database}: {error}; another process writes to it")
    if "readonly" in str(error):
        return UserError(
            f"{database} was moved, and cannot be written to: its artifact paths must be corrected"
        )
    return UserError(f"MLflow at {database}: {error}; MLFLOW_TRACKING_URI must name its database")
