"""Each command in the documentation exists, with the flags that it is given."""

import functools
import itertools
import re
import shutil
import subprocess
import sys

import pytest

from tests import forked
from tests.conftest import REPO
from tests.contract.test_pipelines import STAGES as OF_TRAINING
from tests.documents import blocks, commands, pages, targets
from tests.manifests import kubectl

STAGES = [*OF_TRAINING, "monitor"]
# number of words of a kubectl subcommand, where it is not one
VERBS = {"create": 3, "rollout": 2, "set": 2}
PROGRAMS = {
    *("amtool", "aws", "cd", "cp", "curl", "docker", "dvc", "echo", "export", "gh", "git", "grep"),
    *("helm", "kind", "mkdir", "mlflow", "pytest", "read", "sed", "set", "uv", "uvx"),
}


@functools.cache
def help_of(module: str) -> str:
    if module.startswith("components."):  # faster: without its imports
        result = forked.run(module, ["--help"], REPO, {}, timeout=60)
        assert result.returncode == 0, result.stderr
        return result.stdout
    if module.startswith("benchmarks."):  # its packages need not be installed: make install-bench
        path = REPO / module.replace(".", "/")
        return (path / "__main__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout


def documented_commands() -> list[str]:
    texts = (block for page in pages() for block in blocks(page.read_text()))
    return [*dict.fromkeys(command for text in texts for command in commands(text))]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_explains_itself(stage: str):
    assert f"python -m components.{stage}" in help_of(f"components.{stage}")


COMMANDS = documented_commands()
KUBECTL = [command for command in COMMANDS if command.split()[0] == "kubectl"]


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in KUBECTL])
def test_a_documented_command_exists(command: str):
    """Tests in tests/integration and tests/system run those that need servers or minutes."""
    words = [word for word in command.split() if "=" not in word or word.startswith("-")]
    if words[0] == "make":
        assert set(words[1:]) <= set(targets())
    elif words[:2] == ["python", "-m"]:
        for flag in (word for word in words[3:] if word.startswith("--")):
            assert re.search(rf"{flag}\b", help_of(words[2])), f"{words[2]} has no {flag}"
        assert help_of(words[2])
    elif words[0] == ".":
        environment = words[1].removesuffix("/bin/activate")
        assert f"-m venv {environment}\n" in (REPO / "Makefile").read_text()
    else:
        assert words[0] in PROGRAMS, command


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl: make packages")
@pytest.mark.parametrize("command", KUBECTL)
def test_kubectl_knows_a_documented_command(command: str):
    command = command.partition(" -- ")[0]  # the rest is a program in a pod
    words = [word for word in command.split() if "=" not in word or word.startswith("-")]
    verbs = itertools.takewhile(lambda word: re.fullmatch("[a-z-]+", word), words[1:])
    text = kubectl(*itertools.islice(verbs, VERBS.get(words[1], 1)), "--help")
    text += kubectl("options")
    for flag in re.findall(r" (--[a-z-]+|-[a-z])\b", command):
        assert re.search(rf"^ +(-\w, )?{flag}[=, ]|, {flag}=", text, re.MULTILINE), flag
    for path in re.findall(r"manifests/\S+", command):
        assert (REPO / path).exists() or (REPO / f"{path}.template").exists(), path
