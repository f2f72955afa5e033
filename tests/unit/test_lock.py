"""What a lock may not be, told without data."""

import subprocess
from pathlib import Path

import pytest

from tools import lock


def stage(deps: dict[str, str], outs: dict[str, str]) -> dict:
    both = {"deps": deps, "outs": outs}
    return {k: [{"path": p, "md5": m} for p, m in v.items()] for k, v in both.items()}


def test_missing_data_are_no_change_and_missing_code_is():
    status = {
        "ingest": [{"changed outs": {"data/reviews.parquet": "not in cache"}}],
        "count": [{"changed deps": {"data/train": "deleted", "components/count.py": "modified"}}],
        "merge": [{"changed deps": {"sentiment/merging.py": "deleted"}}, "changed command"],
    }
    assert lock.stale(status) == {
        "count": ["components/count.py"],
        "merge": ["sentiment/merging.py", "its command"],
    }


def test_a_lock_of_two_halves_is_torn():
    stages = {
        "ingest": stage({}, {"reviews": "1"}),
        "train": stage({"reviews": "1"}, {"model": "2"}),
        "evaluate": stage({"model": "2"}, {"metrics": "3"}),
        # what was registered before the model was trained anew
        "register": stage({"model": "0"}, {"registered": "4"}),
    }
    assert lock.torn(stages) == []
    stages["train"] = stage({"reviews": "9"}, {"model": "2"})
    assert lock.torn(stages) == ["reviews"]


def test_only_the_robot_changes_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def commit(email: str, name: str, text: str) -> None:
        Path(name).write_text(text)
        identity = ["-c", "user.name=any", "-c", f"user.email={email}"]
        subprocess.run(["git", "add", "."], check=True)
        subprocess.run(["git", *identity, "commit", "-qm", "x"], check=True)

    subprocess.run(["git", "init", "-q"], check=True)
    commit("me@example.org", "dvc.lock", "1")
    subprocess.run(["git", "tag", "base"], check=True)
    commit(lock.ROBOT, "dvc.lock", "2")
    commit("me@example.org", "other", "1")
    assert lock.by_hand("base") == []
    commit("me@example.org", "dvc.lock", "3")
    assert len(lock.by_hand("base")) == 1


def test_the_makefile_commits_as_the_robot():
    text = (Path(__file__).parents[2] / "Makefile").read_text()
    assert f"ROBOT := {lock.ROBOT}\n" in text
