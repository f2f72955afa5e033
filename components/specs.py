"""The stages as Kubeflow components, made from their signatures.

Each component runs the command line of its stage in the training image; a submission replaces the
image by one with a digest. This is the only module of the package that imports kfp.
"""

import inspect
import typing
from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path
from typing import Any, Literal

from kfp import dsl
from kfp.dsl import ClassificationMetrics, ContainerSpec, Input, Metrics, Output
from kfp.dsl.container_component_class import ContainerComponent
from pydantic.fields import FieldInfo

from components import stage as declared

_SETTINGS = ConfigParser()
_SETTINGS.read(Path(__file__).parents[1] / "setup.cfg")
IMAGE = f"localhost/sentiment-train:{_SETTINGS['metadata']['version']}"  # of `make images`


def component(
    stage: str,
    *,
    without: tuple[str, ...] = (),
    split: Mapping[str, tuple[str, ...]] | None = None,
    shown: Mapping[str, type] | None = None,
    results: Mapping[str, type] | None = None,
) -> ContainerComponent:
    """Return the component of a stage.

    ``without`` names parameters that only a laptop uses; ``split`` gives the inputs that together
    are one list of artifacts. ``shown`` are outputs for the Kubeflow UI, which no task reads.
    ``results`` are output parameters, whose values the stage writes into its JSON files.
    """
    signature = declared.of(stage)
    hints: dict[str, Any] = {}
    flags: dict[str, list[str]] = {}
    for name, field in signature.fields().items():
        if name not in without:
            hints[name] = kubeflow_type(field)
            flags[declared.flag(name)] = [name]
    for name, artifact in signature.artifacts.items():
        kind = getattr(dsl, artifact.kind)
        inputs = (split or {}).get(name, (name,))
        flags[signature.flag(name)] = list(inputs)
        for each in inputs:
            hints[each] = Output[kind] if artifact.output else Input[kind]
    for name, shape in (shown or {}).items():
        hints[name] = Output[shape]
    hints |= {name: dsl.OutputPath(each) for name, each in (results or {}).items()}

    def specification(*placeholders: Any) -> ContainerSpec:
        given = dict(zip(hints, placeholders, strict=True))
        args: list[Any] = [dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER, stage]
        for flag, names in flags.items():
            args.append(flag)
            for name in names:
                if hints[name] is list:
                    args.append(f"*{name}")
                else:
                    args.append(getattr(given[name], "path", given[name]))
        return ContainerSpec(
            image=IMAGE, command=["python", "-m", "components.executor"], args=args
        )

    specification.__name__ = stage
    specification.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=hint)
            for name, hint in hints.items()
        ]
    )
    return dsl.container_component(specification)


def kubeflow_type(field: FieldInfo) -> type:
    """Return the type of a parameter in Kubeflow."""
    origin = typing.get_origin(field.annotation)
    if origin is Literal:
        return type(typing.get_args(field.annotation)[0])
    if origin in (tuple, dict):
        return list if origin is tuple else dict
    found: type = field.annotation  # type: ignore[assignment]
    return found


def merge(tasks: int) -> ContainerComponent:
    """Return the component of merge, with an input for the counts of each of ``tasks``."""
    return component("merge", split={"counts": numbered("counts", tasks)})


def select(tasks: int) -> ContainerComponent:
    """Return the component of select, with an input for the trials of each of ``tasks``."""
    return component(
        "select", split={"trials": numbered("trials", tasks)}, results={"selected": list}
    )


def train(rungs: list[str]) -> ContainerComponent:
    """Return the component of train, with one input for the selection of each rung."""
    return component("train", split={"selections": tuple(f"rung_{rung}" for rung in rungs)})


def numbered(name: str, tasks: int) -> tuple[str, ...]:
    """Return the names of the inputs that take an output of each of ``tasks``."""
    return tuple(f"{name}_{number}" for number in range(1, tasks + 1))


ingest = component("ingest")
validate = component("validate")
prepare = component("prepare")
count = component("count")
trial = component("trial", without=("selected",))
evaluate = component("evaluate", shown={"scores": Metrics, "curves": ClassificationMetrics})
register = component("register")
gate = component("gate", shown={"scores": Metrics}, results={"passed": bool})
promote = component("promote")
monitor = component("monitor", shown={"scores": Metrics}, results={"drifted": bool})
queue = component("queue")
join = component("join", shown={"scores": Metrics})
decide = component("decide", results={"train": bool})
