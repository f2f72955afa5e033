"""Repair the files of DVC that an interrupted run leaves cut off, or locked.

DVC 3.67 writes ``dvc.lock`` and ``.dvc/tmp/rwlock`` in place (``dvc.utils.serialize``,
``dvc.rwlock``). After Ctrl-C or SIGKILL in between, every later command of DVC refuses to start. It
does so, too, while a process has the number of a killed one in ``rwlock``: another program, or a
zombie, which stays in a container whose process 1 does not collect it.
"""

import json
import logging
import subprocess
from pathlib import Path

from components.errors import UserError
from components.io.files import replacing

LOCK = Path("dvc.lock")
DVC = Path(".dvc/tmp")
BEFORE = DVC / "dvc.lock.before"  # the lock before the latest run
CUT_OFF = DVC / "dvc.lock.cut-off"
RWLOCK = DVC / "rwlock"

log = logging.getLogger("dvc.lock")


def repair() -> None:
    """Make ``dvc.lock`` and DVC's lock of files readable, and keep a copy of a readable lock.

    A lock that is cut off is replaced by the copy from before the interrupted run, or else by that
    of the last commit, or else removed. DVC then finds the finished stages in its cache of runs.

    Raises:
        UserError: the lock has a merge conflict, or another command of DVC is running.
    """
    if _is_stale(RWLOCK) or problem():
        _restore()
    if LOCK.exists() and DVC.parent.exists():
        with replacing(BEFORE) as partial:
            partial.write_bytes(LOCK.read_bytes())


def problem() -> str | None:
    """Return why DVC cannot read ``dvc.lock``; None if it can, or if there is no lock.

    Raises:
        UserError: the lock has a merge conflict.
    """
    if not LOCK.exists():
        return None
    text = LOCK.read_text(errors="replace")
    if "\n<<<<<<< " in f"\n{text}":
        raise UserError(
            f"{LOCK} has a merge conflict: git checkout --ours {LOCK}, or --theirs; then make train"
        )
    return _problem(text)


def _problem(text: str) -> str | None:
    import dvc.schema  # slow to import, and absent from the images
    import yaml
    from voluptuous import Invalid

    if not text.endswith("\n"):
        return "its last line is cut off"
    try:
        content = yaml.safe_load(text)
        dvc.schema.COMPILED_LOCKFILE_SCHEMA(content)
    except yaml.YAMLError as error:
        return " ".join(str(error).split())
    except Invalid as error:
        return str(error)
    return None


def _restore() -> None:
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo

    try:
        with Repo().lock:  # DVC may be writing the files right now
            if _is_stale(RWLOCK):
                RWLOCK.unlink()
                log.info("removed %s, which an interrupted run left", RWLOCK)
            if problem():
                LOCK.replace(CUT_OFF)
                log.info(
                    "%s was cut off by an interrupted run; %s; the file as it was is %s",
                    *(LOCK, _restore_lock(), CUT_OFF),
                )
    except LockError as error:
        raise UserError(f"another command of DVC is running: {error}") from error
    except DvcException as error:  # such as a folder that is no repository of DVC
        raise UserError(str(error)) from error


def _restore_lock() -> str:
    """Restore the lock and return what was done."""
    command = ["git", "show", f"HEAD:./{LOCK}"]
    committed = subprocess.run(command, capture_output=True, text=True).stdout
    kept = BEFORE.read_text(errors="replace") if BEFORE.exists() else ""
    sources = {"restored as before that run": kept, "restored from the last commit": committed}
    for source, text in sources.items():
        if text and not _problem(text):
            with replacing(LOCK) as partial:
                partial.write_text(text)
            return source
    return "removed, so that all stages run again"


def _is_stale(rwlock: Path) -> bool:
    """Tell whether a lock of files is cut off, or has only processes that do not run DVC."""
    try:
        content = json.loads(rwlock.read_bytes())
        writers = list(content.get("write", {}).values())
        readers = [each for infos in content.get("read", {}).values() for each in infos]
        pids = {info["pid"] for info in writers + readers}
    except FileNotFoundError:
        return False
    except (ValueError, LookupError, TypeError, AttributeError):
        return True
    return bool(pids) and not any(map(_runs_dvc, pids))


def _runs_dvc(pid: int) -> bool:
    import psutil  # as DVC does

    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "dvc" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # another user's
        return True
