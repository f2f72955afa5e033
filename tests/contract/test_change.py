"""docs/change.md names files that exist, and names that stand in them; at most three a change."""

import re
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.documents import targets

PAGE = (REPO / "docs/change.md").read_text()
TASKS = (  # of the issue that asks for this page
    *("add a stage parameter", "add a metric with an alert", "change the canary rule"),
    *("change the drift threshold", "change a rollback rule", "add an endpoint"),
    *("add a search rung", "raise the version"),
)
PLACEHOLDERS = {"STAGE": "count", "ALERT": "SentimentDrift"}


def rows() -> dict[str, tuple[str, str]]:
    """Return the files and the commands of each task."""
    lines = re.findall(r"^\| (.+?) \| (.+?) \| (.*?) ?\|$", PAGE, re.MULTILINE)
    return {task: (files, commands) for task, files, commands in lines if task != "to"}


def files(cell: str) -> list[tuple[Path, str]]:
    """Return the paths in a cell, each with the name in brackets behind it."""
    found = []
    for path, name in re.findall(r"`([\w./-]+[./][\w./-]*)`(?: \(`(\w+)`\))?", cell):
        for placeholder, example in PLACEHOLDERS.items():
            path = path.replace(placeholder, example)
        found.append((REPO / path, name))
    return found


def test_the_page_has_each_task():
    assert set(TASKS) <= rows().keys()


@pytest.mark.parametrize("task", rows())
def test_a_task_takes_at_most_three_files(task: str):
    paths = files(rows()[task][0])
    assert 1 <= len(paths) <= 3
    for path, name in paths:
        assert path.exists(), path
        if name:
            assert re.search(rf"\b{name}\b", path.read_text()), f"{path} has no {name}"


@pytest.mark.parametrize("task", rows())
def test_the_commands_of_a_task_exist(task: str):
    for target in re.findall(r"`make ([\w-]+)`", rows()[task][1]):
        assert target in targets()
