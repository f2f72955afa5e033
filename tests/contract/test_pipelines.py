"""The compiled pipelines, DVC's stages and the stages' command lines say the same."""

import importlib
import json
import re
import runpy
import shlex
from argparse import ArgumentParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import dsl
from kfp.dsl import Artifact, Input

from components import specs, trial
from components import stage as declared
from components.errors import UserError
from pipelines import compile, inputs, ir, tasks
from tests.conftest import REPO

DVC = yaml.safe_load((REPO / "dvc.yaml").read_text())
PARAMS = yaml.safe_load((REPO / "params.yaml").read_text())
LOOP = ["monitor", "queue", "join", "decide"]  # the stages that lead to a training
STAGES = [name for name in declared.STAGES if name not in LOOP]  # those of a training
RUNGS = PARAMS["rungs"]
OUTWARD = {"ingest", "evaluate", "register", "gate", "promote", *LOOP}
TRAINING, TRAINING_PLATFORM = ir.load("training")
MONITORING, MONITORING_PLATFORM = ir.load("monitoring")
BOTH = pytest.mark.parametrize("name", ["training", "monitoring"])
DIGEST = f"registry.example.org/sentiment-train@sha256:{'0a' * 32}"


def parser_of(stage: str) -> ArgumentParser:
    module = importlib.import_module(f"components.{stage}")
    parser = module.parser() if stage == "promote" else declared.parser(stage, module.run)
    parser.exit_on_error = False

    def fail(message: str) -> None:
        raise AssertionError(f"{stage}: {message}")

    parser.error = fail
    return parser


def dvc_command(stage: str, rung: str = "1") -> list[str]:
    """Return the command line of a stage as DVC fills it in, for one rung of the search."""
    return shlex.split(_stage(stage)["cmd"].replace("${key}", rung))


def parameters_of(stage: str, command: list[str]) -> dict[str, Any]:
    """Return the parameters that a command line gives to its stage."""
    module = importlib.import_module(f"components.{stage}")
    signature = declared.signature(module.run)
    if signature.parameters is None:
        return {}
    arguments = vars(parser_of(stage).parse_args(command))
    flags = {name: arguments[name] for name in signature.fields() if name in arguments}
    path = arguments["params"] and REPO / arguments["params"]
    return vars(declared.values(stage, signature, flags, path, arguments.get("rung")))


def _stage(stage: str) -> dict[str, Any]:
    found: dict[str, Any] = DVC["stages"][stage]
    return found.get("do", found)


def dags(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the graph and those within it."""
    inner = [c["dag"] for c in document["components"].values() if "dag" in c]
    return [document["root"]["dag"], *inner]


def tasks_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tasks that run a container, by the name of their stage; of rungs, the first."""
    found: dict[str, dict[str, Any]] = {}
    for dag in dags(document):
        for task in dag["tasks"].values():
            component = task["componentRef"]["name"]
            if "executorLabel" in document["components"][component]:
                found.setdefault(component.removeprefix("comp-"), task)
    return found


def stages_of(document: dict[str, Any]) -> list[str]:
    """Return the stages, each once: a rung's own components have a number behind the name."""
    return sorted({re.sub(r"-\d+$", "", name) for name in tasks_of(document)})


def ir_command(document: dict[str, Any], stage: str) -> list[str]:
    """Return the container's command line with every placeholder filled as the backend does."""
    container = document["deploymentSpec"]["executors"][f"exec-{stage}"]["container"]
    inputs = tasks_of(document)[stage].get("inputs", {}).get("parameters", {})
    defaults = document["root"]["inputDefinitions"]["parameters"]

    def value_of(parameter: str) -> Any:
        given = inputs[parameter]
        if "runtimeValue" in given:
            return given["runtimeValue"]["constant"]
        definition = defaults[given["componentInputParameter"].removeprefix("pipelinechannel--")]
        value = definition.get("defaultValue", "given")
        return int(value) if definition["parameterType"] == "NUMBER_INTEGER" else value

    def fill(part: str) -> list[str]:
        if part.startswith("*"):
            return list(value_of(part[1:]))
        if match := re.fullmatch(r"\{\{\$\.inputs\.parameters\['(\w+)'\]\}\}", part):
            value = value_of(match[1])
            return [json.dumps(value) if isinstance(value, dict) else str(value)]
        return [re.sub(r"\{\{.*\['(\w+)'\]\.path\}\}", r"/tmp/\1", part)]

    return [*container["command"], *(word for part in container["args"] for word in fill(part))]


def test_committed_ir_is_up_to_date(tmp_path: Path):
    for path in compile.compile_to(tmp_path):
        assert path.read_text() == (ir.COMPILED / path.name).read_text(), "run: make compile"


def test_stage_names_are_the_same_everywhere():
    # Kubeflow always runs ingest and evaluate
    assert list(DVC["stages"]) == ["source", "suite", *STAGES]
    assert stages_of(TRAINING) == sorted(STAGES)
    assert stages_of(MONITORING) == sorted([*STAGES, *LOOP])


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_and_kubeflow_give_the_same_parameters(stage: str):
    dvc, kubeflow = dvc_command(stage), ir_command(TRAINING, stage)
    assert dvc[:3] == ["python", "-m", f"components.{stage}"]
    assert kubeflow[:5] == ["python", "-m", "components.executor", "{{$}}", stage]
    given = []
    for command in (dvc[3:], kubeflow[5:]):
        # no placeholder is left; {} is an empty mapping
        assert not any("{{" in part or "${" in part for part in command), command
        parser_of(stage).parse_args(command)
        given.append(parameters_of(stage, command))
    if stage == "ingest":  # a file of the laptop; a pipeline is given an address
        assert given[0].pop("labelled") == "data/labelled.parquet"
        assert given[1].pop("labelled") == ""
    assert given[0] == given[1]


def test_monitor_gets_its_section():
    given = parameters_of("monitor", ir_command(MONITORING, "monitor")[5:])
    assert {name: given[name] for name in PARAMS["monitor"]} == PARAMS["monitor"]


def test_dvc_and_kubeflow_search_alike():
    given = TRAINING["root"]["inputDefinitions"]["parameters"]["candidates"]["defaultValue"]
    assert given == PARAMS["trial"]["candidates"]
    assert parameters_of("trial", dvc_command("trial")[3:])["candidates"] == tuple(given)
    tasks = TRAINING["root"]["dag"]["tasks"]
    endings = ["", *(f"-{number}" for number in range(2, len(RUNGS) + 1))]
    for rung, ending in zip(RUNGS.values(), endings, strict=True):
        trial, select = (tasks[name + ending]["inputs"] for name in ("trial", "select"))
        assert constants(trial)["budget"] == rung["trial"]["budget"]
        assert constants(select)["keep"] == rung["select"]["keep"]
    for before, after in pairwise(endings):
        candidates = tasks[f"trial{after}"]["inputs"]["parameters"]["candidates"]
        assert candidates["taskOutputParameter"]["producerTask"] == f"select{before}"
    for before, rung in pairwise(RUNGS):
        selection = f"models/selection/{before}.json"
        given = parameters_of("trial", dvc_command("trial", rung)[3:])
        assert str(given["selected"]) == selection
        assert RUNGS[rung]["after"] == selection


def constants(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a task that the pipeline itself sets."""
    given = inputs["parameters"].items()
    return {key: v["runtimeValue"]["constant"] for key, v in given if "runtimeValue" in v}


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"count_tasks": 0}, "count_tasks: Input should be greater than or equal to 1"),
        ({"parts": ["1/2"]}, "parts: Unexpected keyword argument"),
        ([1], "not a mapping of names to numbers"),
    ],
)
def test_a_wrong_number_of_tasks_is_one_line(section: Any, problem: str):
    with pytest.raises(SystemExit, match=re.escape(f"params.yaml: kubeflow: {problem}")):
        inputs.tasks(section)


def test_tasks_share_the_work_of_a_stage(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inputs, "TASKS", inputs.Tasks(count_tasks=2, trial_tasks=3))
    module = runpy.run_path(str(REPO / "pipelines/training.py"))
    tasks = module["training"].pipeline_spec.root.dag.tasks
    parts = {
        name: task.inputs.parameters["part"]
        for name, task in tasks.items()
        if name.startswith(("count", "trial"))
    }
    values = {name: each.runtime_value.constant.string_value for name, each in parts.items()}
    assert values["count"] == "1/2"
    assert values["count-2"] == "2/2"
    assert [values[f"trial{end}"] for end in ("", "-2", "-3", "-4")] == ["1/3", "2/3", "3/3", "1/3"]
    assert len(values) == 2 + 3 * len(RUNGS)
    merged, kept = (tasks[name].inputs.artifacts for name in ("merge", "select"))
    assert {each.task_output_artifact.producer_task for each in merged.values()} == {
        *("count", "count-2"),
    }
    assert {each.task_output_artifact.producer_task for each in kept.values()} == {
        *("trial", "trial-2", "trial-3"),
    }
    assert tasks["count-2"].task_info.name == "count, part 2/2"


@BOTH
def test_no_task_is_in_a_loop(name: str):
    """A loop makes pods of its own, and so many nodes that the server stops listing tasks."""
    document = ir.load(name)[0]
    assert not [t for d in dags(document) for t in d["tasks"].values() if "parameterIterator" in t]


def test_trial_digest_covers_its_dvc_code():
    stages = yaml.safe_load((REPO / "dvc.yaml").read_text())["stages"]
    code = {each for each in stages["trial"]["do"]["deps"] if each.endswith(".py")}
    own = {"components/trial.py", "components/io/candidates.py"}
    assert code == own | {f"sentiment/{name}.py" for name in trial.CODE}


@pytest.mark.parametrize("stage", [*STAGES, *LOOP])
def test_every_section_key_is_a_flag(stage: str):
    """A parameter in params.yaml that no runner uses would be a knob on nothing."""
    command = ir_command(MONITORING, stage) if stage in LOOP else ir_command(TRAINING, stage)
    flags = {part[2:].replace("-", "_") for part in command if part.startswith("--")}
    assert set(PARAMS.get(stage, {})) <= flags


@BOTH
def test_stages_with_side_effects_are_not_cached(name: str):
    for stage, task in tasks_of(ir.load(name)[0]).items():
        cached = task.get("cachingOptions", {}).get("enableCache")
        assert bool(cached) is (stage not in OUTWARD), stage


def test_training_waits_for_validation():
    assert tasks_of(TRAINING)["prepare"]["dependentTasks"] == ["ingest", "validate"]
    assert "reports/validation.json" in str(DVC["stages"]["prepare"]["deps"])


def test_promotion_depends_on_the_gate():
    (condition,) = {
        task["triggerPolicy"]["condition"]
        for dag in dags(TRAINING)
        for task in dag["tasks"].values()
        if "triggerPolicy" in task
    }
    assert condition == "inputs.parameter_values['pipelinechannel--passed'] == true"


def test_retraining_depends_on_the_decision():
    retraining = MONITORING["root"]["dag"]["tasks"]["retraining"]
    train = retraining["inputs"]["parameters"]["train"]["taskOutputParameter"]
    assert train == {"outputParameterKey": "train", "producerTask": "decide"}
    conditions = {
        task["triggerPolicy"]["condition"]
        for dag in dags(MONITORING)
        for task in dag["tasks"].values()
        if "triggerPolicy" in task
    }
    assert "inputs.parameter_values['pipelinechannel--train'] == true" in conditions
    decide = MONITORING["root"]["dag"]["tasks"]["decide"]
    assert decide["dependentTasks"] == ["join", "monitor"]


def test_labels_go_to_where_they_are_read():
    """Join writes what decide compares and ingest reads."""
    tasks = MONITORING["root"]["dag"]["tasks"]
    for parameter, stages in {
        "labelled": ("join", "decide", "retraining"),
        "queues": ("queue", "join"),
        "captured": ("monitor", "queue", "join"),
        "name": ("monitor", "queue", "join", "decide", "retraining"),
    }.items():
        for stage in stages:
            given = tasks[stage]["inputs"]["parameters"][parameter]
            assert given == {"componentInputParameter": parameter}, (stage, parameter)
    assert ir_command(MONITORING, "join").count("--min-accuracy") == 1
    given = parameters_of("join", ir_command(MONITORING, "join")[5:])
    assert given["min_accuracy"] == PARAMS["gate"]["min_accuracy"] == PARAMS["join"]["min_accuracy"]
    assert PARAMS["join"]["labelled"] == PARAMS["ingest"]["labelled"]


def test_tasks_are_made_without_reading_the_call_stack(monkeypatch: pytest.MonkeyPatch):
    def fail() -> None:
        raise AssertionError("it takes 0.2 s, and an import of the pipelines 20 s")

    monkeypatch.setattr("inspect.stack", fail)

    @dsl.pipeline
    def one(verdict: Input[Artifact]) -> None:
        tasks.set_resources(specs.promote(verdict=verdict), "promote")

    assert one.pipeline_spec.root.dag.tasks["promote"].task_info.name == "promote"


@BOTH
def test_every_task_has_resources_and_retries(name: str):
    document, platform = ir.load(name)
    for stage, task in tasks_of(document).items():
        resources = document["deploymentSpec"]["executors"][f"exec-{stage}"]["container"][
            "resources"
        ]
        for kind in ("resourceCpuRequest", "resourceCpuLimit", "resourceMemoryRequest"):
            assert resources[kind], (stage, kind)
        assert resources["resourceMemoryLimit"].endswith("Gi")
        assert task["retryPolicy"]["maxRetryCount"] > 0
        assert task["retryPolicy"]["backoffDuration"] != "0s"
        assert task["taskInfo"]["name"] != task["componentRef"]["name"]
        kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        assert int(kubernetes[f"exec-{stage}"]["activeDeadlineSeconds"]) > 0
        assert kubernetes[f"exec-{stage}"]["securityContext"] == {"runAsNonRoot": True}


@BOTH
def test_every_input_has_a_description(name: str):
    document = ir.load(name)[0]
    assert document["pipelineInfo"]["displayName"]
    assert document["pipelineInfo"]["description"]
    for key, definition in document["root"]["inputDefinitions"]["parameters"].items():
        assert definition["description"], key
        assert definition["parameterType"] in ir._KINDS


def test_ui_gets_metrics_curves_and_card():
    kinds = {
        output["artifactType"]["schemaTitle"]
        for component in TRAINING["components"].values()
        for output in component.get("outputDefinitions", {}).get("artifacts", {}).values()
    }
    assert {"system.Metrics", "system.ClassificationMetrics", "system.Markdown"} <= kinds


@BOTH
def test_ui_outputs_feed_no_task(name: str):
    """Newer servers keep these two in their database and no file of them."""
    for component in ir.load(name)[0]["components"].values():
        for each in component.get("inputDefinitions", {}).get("artifacts", {}).values():
            assert each["artifactType"]["schemaTitle"] not in (
                *("system.Metrics", "system.ClassificationMetrics"),
            )


def suspicious(text: str) -> list[str]:
    """Find what looks like the value of a secret."""
    patterns = (
        r"AKIA[0-9A-Z]{16}",
        r"//[^/\s:@'\"]+:[^/\s:@'\"]+@",
        r"-----BEGIN",
        r"eyJ[\w-]{10,}\.eyJ",
        r"(?i)(?:password|passwd|token|secret_?(?:access_?)?key)['\"]?\s*[:=]\s*(?!MLFLOW_|AWS_|SOURCE_)\S+",
    )
    return [match[0] for pattern in patterns for match in re.finditer(pattern, text)]


@BOTH
def test_credentials_come_from_the_secret(name: str):
    assert not suspicious((ir.COMPILED / f"{name}.yaml").read_text())
    document, platform = ir.load(name)
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for stage in tasks_of(document):
        secrets = executors[f"exec-{stage}"].get("secretAsEnv", [])
        assert [each["secretName"] for each in secrets] == ["capstone-secret"] * (stage in OUTWARD)
        for each in secrets:
            wanted = {*tasks.SECRET_KEYS, *tasks.SOURCE_KEYS * (stage in ("ingest", "decide"))}
            assert {key["envVar"] for key in each["keyToEnv"]} == wanted
        assert "env" not in document["deploymentSpec"]["executors"][f"exec-{stage}"]["container"]


@pytest.mark.parametrize(
    "planted",
    [
        f"key: AKIA{'Z' * 16}",  # put together here, so that no scanner takes it for one
        "uri: https://me:hunter2@mlflow.example.org",
        "MLFLOW_TRACKING_PASSWORD: hunter2",
        "value: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "aws_secret_access_key=abc/def",
    ],
)
def test_a_planted_secret_is_found(planted: str):
    assert suspicious((ir.COMPILED / "training.yaml").read_text() + planted)


def test_digest_replaces_image_tags():
    assert ir.unpinned(ir.load("training")) == [specs.IMAGE]
    pinned = ir.load("training", DIGEST)
    assert ir.images(pinned) == [DIGEST]
    assert ir.unpinned(pinned) == []
    for loose in ("x", "x:latest", "x:1.0.0", "x@sha256:abc", f"{DIGEST}0"):
        assert ir.unpinned(ir.load("training", loose)) == [loose]
    assert ir.version(pinned) != ir.version(ir.load("training"))
    assert ir.version(pinned) == ir.version(ir.load("training", DIGEST))
    assert [*yaml.safe_load_all(ir.dump(pinned))] == pinned


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("source=s3://bucket/a=b.csv", "s3://bucket/a=b.csv"),
        ("max_n=2", 2),
        ("margin=0.5", 0.5),
        ("margin=1", 1),
        ('candidates=["default"]', ["default"]),
    ],
)
def test_parameters_are_parsed_by_type(text: str, value: object):
    assert ir.parameters(ir.load("training"), [text]) == {text.partition("=")[0]: value}


@pytest.mark.parametrize(
    ("pipeline", "given", "words"),
    [
        (
            "training",
            ["max_m=2"],
            "--param max_m: training has no such parameter; it takes behaviour, candidates,",
        ),
        ("training", ["max_n"], "--param max_n: say name=value"),
        ("training", ["max_n=2.5"], "--param max_n=2.5: it takes a whole number"),
        ("training", ["max_n=true"], "--param max_n=true: it takes a whole number"),
        ("training", ["margin=small"], "it takes a number"),
        ("training", ["candidates=default"], "it takes a JSON list"),
        ("monitoring", [], "--param captured=…: monitoring needs it"),
    ],
)
def test_wrong_parameters_are_named(pipeline: str, given: list[str], words: str):
    with pytest.raises(UserError, match=re.escape(words)):
        ir.parameters(ir.load(pipeline), given)


def test_a_file_without_pipeline_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="there are monitoring, training"):
        ir.load("trainning")
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({"a": 1}))
    with pytest.raises(UserError, match=r"mine.yaml: not a compiled pipeline"):
        ir.load(str(path))
    path.write_text("a: [")
    with pytest.raises(UserError, match=r"mine.yaml: not YAML"):
        ir.load(str(path))
