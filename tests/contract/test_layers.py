"""Imports point one way, and the docs and targets are true."""

import configparser
import functools
import itertools
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipelines.pictures import imports
from serving import errors, rpc
from serving.limits import RequestLimits
from tests.conftest import REPO
from tests.contract.test_pipelines import STAGES as OF_TRAINING
from tests.manifests import kubectl

STAGES = [*OF_TRAINING, "monitor"]
# words of kubectl that its help depends on, else the first
VERBS = {"create": 3, "rollout": 2, "set": 2}
KNOWN = {
    *("amtool", "aws", "cd", "cp", "curl", "docker", "dvc", "echo", "export", "git", "grep"),
    *("helm", "kind", "mlflow", "pytest", "read", "set"),
}
ALLOWED = {
    "sentiment": {"sentiment"},
    "components": {"sentiment", "components"},
    "serving": {"sentiment", "serving"},
    "pipelines": {"components", "pipelines"},
    "deploy": {"components", "deploy"},
    "monitoring": {"components", "deploy", "monitoring", "pipelines"},
    "tools": {"components", "deploy", "monitoring", "pipelines", "tools"},
}


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package: str):
    for path in (REPO / package).rglob("*.py"):
        assert (imports(path) & set(ALLOWED)) <= ALLOWED[package], path


def modules_after(statement: str) -> set[str]:
    program = f"{statement}; import sys; print(*(name.split('.')[0] for name in sys.modules))"
    output = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True
    )
    return set(output.stdout.split())


def test_the_model_knows_neither_mlflow_nor_pandas():
    loaded = modules_after("import sentiment.model, sentiment.store")
    assert not loaded & {"mlflow", "kfp", "kserve", "boto3"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_knows_no_kfp(stage: str):
    loaded = modules_after(f"import components.{stage}")
    assert not loaded & {"kfp", "kserve", "dvc"}
    if stage not in {"register", "gate", "promote", "monitor"}:
        assert "mlflow" not in loaded


def test_serving_knows_no_mlflow():
    assert not modules_after("import serving.__main__") & {"mlflow", "kfp", "dvc"}


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_explains_itself(stage: str):
    command = [sys.executable, "-m", f"components.{stage}", "--help"]
    output = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True)
    assert f"python -m components.{stage}" in output.stdout


@pytest.mark.parametrize("extra", ["train", "serve", "pipeline", "sbom", "dev"])
def test_the_lock_fits_what_setup_cfg_asks_for(extra: str):
    lock = (REPO / "requirements" / f"{extra}.txt").read_text()
    locked = dict(re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==(\S+)", lock, re.MULTILINE))
    config = configparser.ConfigParser()
    config.read(REPO / "setup.cfg")
    asked = config["options"]["install_requires"] + config["options.extras_require"][extra]
    for line in filter(None, asked.splitlines()):
        if line.startswith("#"):
            continue
        requirement = Requirement(line)
        name = requirement.name.lower()
        assert requirement.specifier.contains(locked[name]), f"{line}: run make lock"
    assert lock.count("==") <= lock.count("--hash="), "a package without a hash"
    assert "://" not in lock


def targets() -> dict[str, str]:
    lines = (REPO / "Makefile").read_text().splitlines()
    return dict(
        re.fullmatch(r"([a-z-]+):.*?## (.*)", line).groups()
        for line in lines
        if re.match(r"[a-z-]+:.*## ", line)
    )


def test_help_lists_every_target():
    output = subprocess.run(["make", "help"], cwd=REPO, capture_output=True, text=True, check=True)
    for target, text in targets().items():
        assert re.search(rf"^  {target} +{re.escape(text)}$", output.stdout, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", (REPO / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(targets())


def test_the_limits_are_documented_as_they_are():
    docs = (REPO / "docs" / "serving.md").read_text()
    for limit in fields(RequestLimits):
        assert f"| `--{limit.name}` | {limit.default:,} |" in docs
    for kind in errors.KINDS.values():
        line = next(line for line in docs.splitlines() if f"`{kind.label}`" in line)
        assert str(int(kind.status)) in line
        assert kind.label == "compressed" or kind.code.name in line
        assert kind.code in rpc.STATUSES


def pages() -> list[Path]:
    return [REPO / "README.md", *sorted(REPO.glob("docs/**/*.md")), REPO / "benchmarks/README.md"]


def blocks(page: str) -> list[str]:
    """Return the blocks of commands of a page, a command that goes on in the next line as one."""
    found = re.findall(r"^ *```sh\n(.*?)^ *```$", page, re.MULTILINE | re.DOTALL)
    return [block.replace("\\\n", " ") for block in found]


def commands(block: str) -> list[str]:
    lines = (re.split(r"(?:^|\s)#", line)[0].strip() for line in block.splitlines())
    return [*filter(None, lines)]


def documented_commands() -> list[str]:
    every = (block for page in pages() for block in blocks(page.read_text()))
    return [*dict.fromkeys(command for block in every for command in commands(block))]


@functools.cache
def help_of(module: str) -> str:
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("command", documented_commands())
def test_every_documented_command_exists(command: str):
    """Those that take servers or minutes run in tests/integration and tests/system."""
    words = [word for word in command.split() if "=" not in word or word.startswith("-")]
    if words[0] == "make":
        assert set(words[1:]) <= set(targets())
    elif words[:2] == ["python", "-m"]:
        for flag in (word for word in words[3:] if word.startswith("--")):
            assert re.search(rf"{flag}\b", help_of(words[2])), f"{words[2]} has no {flag}"
        assert help_of(words[2])
    elif words[0] == "kubectl":
        verbs = itertools.takewhile(lambda word: re.fullmatch("[a-z-]+", word), words[1:])
        known = kubectl(*itertools.islice(verbs, VERBS.get(words[1], 1)), "--help")
        known += kubectl("options")
        for flag in re.findall(r" (--[a-z-]+|-[a-z])\b", command):
            assert re.search(rf"^ +(-\w, )?{flag}[=, ]|, {flag}=", known, re.MULTILINE), flag
        for path in re.findall(r"manifests/\S+", command):
            assert (REPO / path).exists() or (REPO / f"{path}.template").exists(), path
    elif words[0] == ".":
        made = words[1].removesuffix("/bin/activate")
        assert f"-m venv {made}\n" in (REPO / "Makefile").read_text()
    else:
        assert words[0] in KNOWN, command
