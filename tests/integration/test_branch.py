"""A branch that deployments and people push to: real git, and a repository."""

import os
import subprocess
from pathlib import Path

import pytest

from components.errors import UnavailableError, UserError
from deploy import branch
from deploy.branch import Branch
from tests.conftest import free_port


def git(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


@pytest.fixture
def clones(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """Return two work trees of one repository, each with overlay/model.yaml."""
    monkeypatch.setattr(branch, "retry", lambda work: work())
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text(
        "[user]\nname = A\nemail = a@example.org\n[init]\ndefaultBranch = main\n"
    )
    git(tmp_path, "init", "--quiet", "--bare", "bare")
    one, two = tmp_path / "one", tmp_path / "two"
    git(tmp_path, "clone", "--quiet", "bare", "one")
    (one / "overlay").mkdir()
    (one / "overlay/model.yaml").write_text("first\n")
    (one / "other").write_text("first\n")
    git(one, "add", ".")
    git(one, "commit", "--quiet", "--message", "First")
    git(one, "push", "--quiet", "--set-upstream", "origin", "main")
    git(tmp_path, "clone", "--quiet", "bare", "two")
    return one, two


def write(clone: Path, text: str, name: str = "overlay/model.yaml") -> Branch:
    (clone / name).write_text(text)
    return Branch(clone / "overlay/model.yaml")


def test_a_change_is_pushed_alone(clones):
    one, two = clones
    (one / "other").write_text("not to be committed\n")
    commit = write(one, "second\n").publish("Serve v2")
    git(two, "pull", "--quiet")
    assert git(two, "rev-parse", "HEAD") == commit
    assert git(two, "log", "-1", "--format=%s", "--stat").startswith("Serve v2")
    assert (two / "overlay/model.yaml").read_text() == "second\n"
    assert (two / "other").read_text() == "first\n"
    assert Branch(one / "overlay/model.yaml").publish("Serve v2") == commit  # no empty commit


def test_a_push_of_other_files_is_taken(clones):
    one, two = clones
    own = write(two, "of two\n")
    for number in (1, 2):
        (one / "other").write_text(f"of one, {number}\n")
        git(one, "commit", "--quiet", "--all", "--message", f"Other {number}")
        git(one, "push", "--quiet")
        (two / "overlay/model.yaml").write_text(f"of two, {number}\n")
        commit = own.publish(f"Serve v{number}")
        assert git(two, "rev-parse", "HEAD", "origin/main").splitlines() == [commit, commit]
        git(one, "pull", "--quiet")
    subjects = git(one, "log", "--format=%s").splitlines()
    assert subjects == ["Serve v2", "Other 2", "Serve v1", "Other 1", "First"]
    assert (two / "other").read_text() == "of one, 2\n"
    assert (one / "overlay/model.yaml").read_text() == "of two, 2\n"


def test_a_push_that_the_work_tree_cannot_take_is_refused(clones):
    one, two = clones
    before = git(two, "rev-parse", "HEAD")
    own = write(two, "of two\n")
    (one / "other").write_text("of one\n")
    git(one, "commit", "--quiet", "--all", "--message", "Other")
    git(one, "push", "--quiet")
    (two / "other").write_text("being edited\n")
    with pytest.raises(UserError, match="another push came first"):
        own.publish("Serve v2")
    assert git(two, "rev-parse", "HEAD") == before
    assert (two / "other").read_text() == "being edited\n"


@pytest.mark.parametrize("change", ["commit", "switch"])
def test_what_a_person_does_in_the_work_tree_is_not_pushed(clones, change):
    one, _ = clones
    own = write(one, "second\n")
    if change == "commit":
        (one / "other").write_text("unfinished\n")
        git(one, "commit", "--quiet", "--message", "Unfinished", "other")
    else:
        git(one, "switch", "--quiet", "--create", "feature", "--track")
    before = git(one, "rev-parse", "HEAD")
    with pytest.raises(
        UserError, match=r"HEAD was moved during the deployment, .* clone of its own"
    ):
        own.publish("Serve v2")
    assert git(one, "rev-parse", "HEAD") == before
    assert git(one.parent / "bare", "log", "--format=%s", "main") == "First"


def test_the_second_push_is_refused_and_leaves_the_branch_as_it_was(clones):
    one, two = clones
    before = git(two, "rev-parse", "HEAD")
    write(one, "of one\n").publish("Serve v1")
    with pytest.raises(
        UserError, match=r"another push came first, .*: git pull, and run this again"
    ):
        write(two, "of two\n").publish("Serve v2")
    assert git(two, "rev-parse", "HEAD") == before
    assert git(two, "status", "--porcelain") == ""
    git(two, "pull", "--quiet")
    Branch(two / "overlay/model.yaml").catch_up()
    write(two, "of two\n").publish("Serve v2")


def test_what_a_killed_deployment_left_is_pushed_or_dropped(clones):
    one, two = clones
    write(one, "committed\n")
    git(one, "commit", "--quiet", "--all", "--message", "Serve v2")
    write(one, "written\n").catch_up()
    git(two, "pull", "--quiet")
    for clone in clones:
        assert (clone / "overlay/model.yaml").read_text() == "committed\n"


@pytest.mark.parametrize(
    ("name", "commit", "words"),
    [
        ("other", False, "other is changed and not committed"),
        ("overlay/new", False, "overlay/new is changed and not committed"),
        ("other", True, r"1 commits are not on origin/main yet: git push"),
    ],
)
def test_other_changes_are_refused(clones, name, commit, words):
    one, _ = clones
    own = write(one, "x\n", name)
    if commit:
        git(one, "commit", "--quiet", "--all", "--message", "Other")
    with pytest.raises(UserError, match=words):
        own.catch_up()


def test_a_branch_behind_its_remote_is_refused(clones):
    one, two = clones
    write(one, "of one\n").publish("Serve v1")
    with pytest.raises(UserError, match="origin/main has 1 commits that are not here: git pull"):
        Branch(two / "overlay/model.yaml").catch_up()


def test_a_branch_without_a_remote_is_refused(clones):
    one, _ = clones
    git(one, "switch", "--quiet", "--create", "local")
    with pytest.raises(UserError, match=r"overlay: git rev-parse: .*git push --set-upstream"):
        Branch(one / "overlay/model.yaml").catch_up()


def test_a_refusing_hook_is_reported(clones):
    one, _ = clones
    hook = one.parent / "bare/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(UserError, match=r"git push: .*pre-receive hook declined"):
        write(one, "x\n").publish("Serve v1")


def test_an_unreachable_remote_is_unavailable_and_the_commit_stays(clones):
    one, _ = clones
    address = git(one, "remote", "get-url", "origin")
    git(one, "remote", "set-url", "origin", f"http://127.0.0.1:{free_port()}/bare")
    with pytest.raises(UnavailableError, match=r"git push: fatal: unable to access"):
        write(one, "second\n").publish("Serve v2")
    git(one, "remote", "set-url", "origin", address)
    Branch(one / "overlay/model.yaml").catch_up()
    assert git(one.parent / "bare", "show", "main:overlay/model.yaml") == "second"


def test_missing_git_is_told(clones, monkeypatch):
    monkeypatch.setitem(os.environ, "PATH", "/nowhere")
    with pytest.raises(UserError, match="git is not installed"):
        Branch(clones[0] / "overlay/model.yaml").catch_up()
