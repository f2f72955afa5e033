"""The compiled pipelines, DVC's stages and the stages' command lines say the same."""

import importlib
import re
import shlex
from argparse import ArgumentParser
from pathlib import Path

import pytest
import yaml

from pipelines import compile
from tests.conftest import REPO

STAGES = ["ingest", "validate", "prepare", "train", "evaluate", "register", "promote"]
IR = yaml.safe_load((compile.COMPILED / "training.yaml").read_text().split("\n---\n")[0])
DVC = yaml.safe_load((REPO / "dvc.yaml").read_text())
PARAMS = yaml.safe_load((REPO / "params.yaml").read_text())


def parser_of(stage: str) -> ArgumentParser:
    parser = importlib.import_module(f"components.{stage}").parser()
    parser.exit_on_error = False

    def fail(message: str) -> None:
        raise AssertionError(f"{stage}: {message}")

    parser.error = fail
    return parser


def dvc_command(stage: str) -> list[str]:
    command = re.sub(
        r"\$\{(\w+)\.(\w+)\}",
        lambda match: str(PARAMS[match[1]][match[2]]),
        DVC["stages"][stage]["cmd"],
    )
    return shlex.split(command)


def ir_command(stage: str) -> list[str]:
    """Return the container's command line with every placeholder filled as the backend does."""
    container = IR["deploymentSpec"]["executors"][f"exec-{stage}"]["container"]
    inputs = IR["root"]["dag"]["tasks"][stage].get("inputs", {}).get("parameters", {})
    defaults = IR["root"]["inputDefinitions"]["parameters"]

    def fill(part: str) -> str:
        match = re.fullmatch(r"\{\{\$\.inputs\.parameters\['(\w+)'\]\}\}", part)
        if match is None:
            return re.sub(r"\{\{.*\['(\w+)'\]\.path\}\}", r"/tmp/\1", part)
        name = inputs[match[1]]["componentInputParameter"]
        value = defaults[name]["defaultValue"]
        integer = defaults[name]["parameterType"] == "NUMBER_INTEGER"
        return str(int(value) if integer else value)

    return [*container["command"], *map(fill, container["args"])]


def test_committed_ir_is_fresh_and_deterministic(tmp_path: Path):
    for path in compile.compile_to(tmp_path):
        assert path.read_text() == (compile.COMPILED / path.name).read_text(), "run: make compile"


def test_one_name_for_one_thing():
    assert list(DVC["stages"]) == STAGES
    assert sorted(IR["root"]["dag"]["tasks"]) == sorted(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_every_command_line_parses_and_gives_the_same_parameters(stage: str):
    commands = {"dvc": dvc_command(stage), "kubeflow": ir_command(stage)}
    parsed = {}
    for runner, command in commands.items():
        assert command[:3] == ["python", "-m", f"components.{stage}"]
        assert not any("{" in part for part in command), command
        values = vars(parser_of(stage).parse_args(command[3:]))
        parsed[runner] = {k: v for k, v in values.items() if not isinstance(v, Path)}
    assert parsed["dvc"] == parsed["kubeflow"]


@pytest.mark.parametrize("stage", STAGES)
def test_every_parameter_is_passed_on(stage: str):
    """A parameter in params.yaml that no runner uses would be a knob on nothing."""
    given = {name for name, value in PARAMS.get(stage, {}).items()}
    arguments = {part[2:].replace("-", "_") for part in ir_command(stage) if part.startswith("--")}
    assert given <= arguments


def test_stages_that_act_outside_are_never_cached():
    for stage in STAGES:
        cached = IR["root"]["dag"]["tasks"][stage].get("cachingOptions", {}).get("enableCache")
        assert bool(cached) is (stage not in {"ingest", "register", "promote"}), stage


def test_training_waits_for_validation():
    assert IR["root"]["dag"]["tasks"]["prepare"]["dependentTasks"] == ["ingest", "validate"]
    assert "reports/validation.json" in str(DVC["stages"]["prepare"]["deps"])


def test_credentials_come_from_the_secret_alone():
    text = (compile.COMPILED / "training.yaml").read_text()
    assert "capstone-secret" in text
    assert not re.search(r"(?i)(password|token|secret_key)\s*[:=]\s*\S", text)
