"""make notices that .venv was moved or copied with the checkout; real make, a recorded python."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPO


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with an up-to-date .venv, whose python writes down what it is asked to do."""
    directory = tmp_path / "old"
    (directory / "requirements").mkdir(parents=True)
    shutil.copy(REPO / "Makefile", directory)
    (directory / "setup.cfg").write_text("version = 1\n")
    (directory / "requirements/dev.txt").write_text("mlflow==1 \\\n")
    python = directory / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    python.chmod(0o755)
    kernel = directory / "sentiment/kernel"
    kernel.mkdir(parents=True)
    for name in ("score.c", "tokens.h", "build.py", "kernel.so"):
        (kernel / name).touch()
    (directory / ".venv/installed").write_text(f"{directory}/.venv\n")
    return directory


def install(directory: Path) -> str:
    command = ["make", "install", "PYTHON=.venv/bin/python"]
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_an_unmoved_venv_is_kept(checkout, tmp_path):
    assert "Nothing to be done" in install(checkout)
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_a_moved_venv_is_installed_again(checkout, tmp_path, move):
    new = tmp_path / "new place"
    move(checkout, new)
    output = install(new)
    assert f".venv was made as {checkout}/.venv, and does not survive a move or a copy" in output
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[-2] == "-m venv .venv"
    assert "--force-reinstall -r requirements/dev.txt" in asked[-1]
    assert (new / ".venv/installed").read_text() == f"{new}/.venv\n"
    assert "Nothing to be done" in install(new)


def test_a_link_to_a_venv_is_not_a_move(checkout, tmp_path):
    worktree = tmp_path / "worktree"
    shutil.copytree(checkout, worktree, ignore=shutil.ignore_patterns(".venv"))
    (worktree / ".venv").symlink_to(checkout / ".venv")
    assert "Nothing to be done" in install(worktree)
