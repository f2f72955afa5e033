"""`tools.lock` tells a stale, inconsistent or edited dvc.lock without data."""

import subprocess
from pathlib import Path

import pytest

from tools import lock
from tools.record import ROBOT


def stage(deps: dict[str, str], outs: dict[str, str]) -> dict:
    both = {"deps": deps, "outs": outs}
    return {k: [{"path": p, "md5": m} for p, m in v.items()] for k, v in both.items()}


def test_missing_code_is_a_change():
    status = {
        "ingest": [{"changed outs": {"data/reviews.parquet": "not in cache"}}],
        "count": [{"changed deps": {"data/train": "deleted", "components/count.py": "modified"}}],
        "source": ["always changed"],
        "merge": [{"changed deps": {"sentiment/merging.py": "deleted"}}, "changed command"],
        "gate": [{"changed deps": {"params.yaml": {"gate": "modified"}}}],
    }
    assert lock.stale(status) == {
        "count": ["components/count.py"],
        "merge": ["sentiment/merging.py", "its command"],
        "gate": ["params.yaml: gate"],
    }


def test_a_merged_lock_is_inconsistent():
    stages = {
        "ingest": stage({}, {"reviews": "1"}),
        "train": stage({"reviews": "1"}, {"model": "2"}),
        "evaluate": stage({"model": "2"}, {"metrics": "3"}),
        # an older model was registered
        "register": stage({"model": "0"}, {"registered": "4"}),
    }
    assert lock.inconsistent_outputs(stages) == []
    stages["train"] = stage({"reviews": "9"}, {"model": "2"})
    assert lock.inconsistent_outputs(stages) == ["reviews"]


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
    commit(ROBOT, "dvc.lock", "2")
    commit("me@example.org", "other", "1")
    assert lock.manual_changes("base") == []
    commit("me@example.org", "dvc.lock", "3")
    assert len(lock.manual_changes("base")) == 1
