"""Whether the process that opened a run is alive, with real processes."""

import os
import subprocess
import sys
import time

import pytest

from components.io import owner

PRINT = "from components.io import owner; print(owner.tags()); input()"


@pytest.fixture
def other():
    """Start another process that prints its tags and waits; yield it and the tags."""
    command = [sys.executable, "-c", PRINT]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process, dict(eval(process.stdout.readline()))  # noqa: S307
        process.kill()


def test_live_process_is_not_dead(other):
    _, tags = other
    a_year_ago = time.time() - 365 * 24 * 3600
    assert not owner.is_dead(tags, a_year_ago)
    assert not owner.is_dead(owner.tags(), a_year_ago)


def test_killed_process_is_dead(other):
    process, tags = other
    process.kill()
    while not owner.is_dead(tags, time.time()):  # already while its parent does not wait for it
        time.sleep(0.01)
    process.wait()
    assert owner.is_dead(tags, time.time())


def test_later_process_of_the_same_pid_is_another():
    tags = owner.tags() | {owner.STARTED: "1"}
    assert tags[owner.PID] == str(os.getpid())
    assert owner.is_dead(tags, time.time())


@pytest.mark.parametrize("tags", [{}, {owner.HOST: "another", owner.PID: "1", owner.STARTED: "1"}])
def test_unseen_process_is_dead_after_a_day(tags):
    assert not owner.is_dead(tags, time.time() - 23 * 3600)
    assert owner.is_dead(tags, time.time() - 25 * 3600)
