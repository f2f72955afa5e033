"""`make test` leaves out what needs more than .venv, and nothing else."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from tests import selection


def item(nodeid: str, fixtures: tuple[str, ...] = (), reason: str = ""):
    marks = [pytest.mark.skipif(False, reason=reason).mark] if reason else []
    return SimpleNamespace(nodeid=nodeid, fixturenames=fixtures, iter_markers=lambda name: marks)


@pytest.mark.parametrize(
    "test",
    [
        item("tests/system/test_demo.py::test_x"),
        item("tests/unit/test_x.py::test_x", fixtures=("images",)),
        item("tests/unit/test_x.py::test_x", reason="needs kubectl: make packages"),
    ],
)
def test_a_test_that_needs_programs_is_heavy(test):
    assert selection.why_heavy(test)


def test_other_tests_are_not_heavy():
    assert not selection.why_heavy(item("tests/unit/test_x.py::test_x", ("tmp_path",), "slow disk"))


def test_programs_fail_while_make_test_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", os.environ["PATH"])
    cleanups = []
    config = SimpleNamespace(
        addinivalue_line=lambda *_: None,
        option=SimpleNamespace(markexpr=selection.NOT_HEAVY),
        add_cleanup=cleanups.append,
    )
    selection.pytest_configure(config)
    result = subprocess.run(["kubectl", "version"], capture_output=True, text=True)
    assert result.returncode == 127
    assert "make test must not run kubectl" in result.stderr
    for cleanup in cleanups:
        cleanup()
