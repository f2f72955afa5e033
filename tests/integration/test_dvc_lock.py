"""What an interrupted DVC leaves cut off is repaired; DVC itself reads the result."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from dvc.lock import make_lock
from dvc.repo import Repo

from components.errors import UserError
from components.io import dvc_lock
from tests.conftest import REPO, assert_one_line
from tools import lock, repro

CASE = "stages:\n  ingest:\n    cmd: dvc ingest\n    deps:\n    - "  # as Ctrl-C left one


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A repository with the project's pipeline and lock, committed."""
    monkeypatch.chdir(tmp_path)
    for name in ("dvc.yaml", "dvc.lock", "params.yaml"):
        (tmp_path / name).write_bytes((REPO / name).read_bytes())
    for command in (
        ["git", "init", "-q"],
        [sys.executable, "-m", "dvc", "init", "-q"],
        ["git", "add", "."],
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "all"],
    ):
        subprocess.run(command, check=True)
    return tmp_path


def stages() -> set[str]:
    """Return the stages that DVC finds in the lock; it raises if it cannot read the file."""
    file = next(iter(Repo().index.stages)).dvcfile
    return set(file.lockfile_contents["stages"])


def test_a_cut_lock_is_restored_from_the_copy(project, caplog):
    whole = (REPO / "dvc.lock").read_text()
    edited = whole.replace("nfiles: 4", "nfiles: 5")
    dvc_lock.LOCK.write_text(edited)
    dvc_lock.repair()
    assert dvc_lock.LOCK.read_text() == edited

    dvc_lock.LOCK.write_text(CASE)
    dvc_lock.repair()
    assert dvc_lock.LOCK.read_text() == edited
    assert dvc_lock.CUT_OFF.read_text() == CASE
    assert "dvc.lock was cut off by an interrupted run" in caplog.text
    assert "restored as before that run" in caplog.text


def test_a_lock_cut_anywhere_is_readable(project):
    whole = (REPO / "dvc.lock").read_bytes()
    dvc_lock.repair()
    expected, positions = stages(), random.Random(18).sample(range(len(whole)), 12)
    repaired = 0
    for position in [0, *positions]:
        dvc_lock.LOCK.write_bytes(whole[:position])
        dvc_lock.repair()
        found = stages()
        assert found <= expected
        repaired += found == expected
        dvc_lock.LOCK.write_bytes(whole)
        dvc_lock.repair()
    assert repaired > 10


def test_without_a_copy_the_commit_is_taken(project, caplog):
    dvc_lock.LOCK.write_text("")
    dvc_lock.repair()
    assert dvc_lock.LOCK.read_text() == (REPO / "dvc.lock").read_text()
    assert "restored from the last commit" in caplog.text


def test_without_copy_or_commit_it_is_removed(project, caplog):
    subprocess.run(["rm", "-r", ".git"], check=True)
    (project / ".dvc/config").write_text("[core]\n    no_scm = True\n")
    dvc_lock.LOCK.write_text(CASE)
    dvc_lock.repair()
    assert not dvc_lock.LOCK.exists()
    assert "all stages run again" in caplog.text


@pytest.mark.parametrize("content", ["", '{"write": {"/a": {"pid": 1, "cm', '{"write": {"/a": 1}}'])
def test_a_cut_rwlock_is_removed(project, caplog, content):
    dvc_lock.RWLOCK.write_text(content)
    dvc_lock.repair()
    assert not dvc_lock.RWLOCK.exists()
    assert "removed .dvc/tmp/rwlock" in caplog.text


def held_by(pid: int) -> None:
    info = {"pid": pid, "cmd": "dvc repro"}
    dvc_lock.RWLOCK.write_text(json.dumps({"write": {"/a": info}, "read": {"/b": [info]}}))
    dvc_lock.repair()


def test_an_rwlock_of_dead_processes_is_removed(project):
    with subprocess.Popen(["sleep", "60"]) as process:
        held_by(process.pid)  # another program got the number
        assert not dvc_lock.RWLOCK.exists()
        process.kill()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            pass
        held_by(process.pid)
        assert not dvc_lock.RWLOCK.exists()
    held_by(process.pid)
    assert not dvc_lock.RWLOCK.exists()


def test_an_rwlock_of_a_running_dvc_is_kept(project):
    command = [sys.executable, "-c", "import time; time.sleep(60)", "dvc", "repro"]
    with subprocess.Popen(command) as process:
        held_by(process.pid)
        assert dvc_lock.RWLOCK.exists()
        process.kill()


def test_outside_a_repository_of_dvc(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dvc_lock.LOCK.write_text(CASE)
    with pytest.raises(UserError, match="not inside of a DVC repository"):
        dvc_lock.repair()
    assert dvc_lock.LOCK.read_text() == CASE


def test_a_merge_conflict_is_left_alone(project):
    text = "<<<<<<< HEAD\nschema: '2.0'\n=======\nschema: '2.0'\n>>>>>>> other\n"
    dvc_lock.LOCK.write_text(text)
    with pytest.raises(UserError, match=r"dvc.lock has a merge conflict: git checkout --ours"):
        dvc_lock.repair()
    assert dvc_lock.LOCK.read_text() == text


def test_a_lock_in_use_is_left_alone(project):
    dvc_lock.LOCK.write_text(CASE)
    held = make_lock(".dvc/tmp/lock", tmp_dir=".dvc/tmp")
    with held, pytest.raises(UserError, match="another command of DVC is running"):
        dvc_lock.repair()
    assert dvc_lock.LOCK.read_text() == CASE


def test_check_lock_names_a_cut_lock(project):
    dvc_lock.LOCK.write_text(CASE)
    with pytest.raises(UserError, match=r"dvc.lock is cut off .*: make train restores it"):
        lock.check(None)


def test_one_repro_runs_at_a_time(project):
    with repro._alone(), pytest.raises(UserError, match="runs in this checkout; wait for its end"):
        repro.repro("ingest")
    with repro._alone():  # free again
        pass


def test_repro_repairs_the_lock_first(project):
    dvc_lock.LOCK.write_text(CASE)
    result = subprocess.run(
        [sys.executable, "-m", "tools.repro", "no-such-stage"],
        env=os.environ | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
    )
    assert "no-such-stage" in result.stderr
    assert_one_line(result, "a stage failed; its own message is above")
    assert stages()
