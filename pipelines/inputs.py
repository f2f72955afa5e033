"""The inputs of the pipelines, made from the signatures of the stages and from params.yaml."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from components import specs, stage
from components.stage import parameters

PARAMS = stage.read(Path(__file__).parents[1] / "params.yaml")
RUNGS: dict[str, Any] = PARAMS[stage.RUNGS]


@parameters
class Tasks:
    """How many tasks of a pipeline share the work of a stage."""

    count_tasks: int = Field(default=1, ge=1)
    trial_tasks: int = Field(default=1, ge=1)


def tasks(section: Any) -> Tasks:
    """Return the section ``kubeflow`` of params.yaml, or end the program: it is read at import."""
    try:
        return Tasks(**section)
    except TypeError:
        raise SystemExit("params.yaml: kubeflow: not a mapping of names to numbers") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise SystemExit(f"params.yaml: kubeflow: {first['loc'][0]}: {first['msg']}") from None


TASKS = tasks(PARAMS.get(stage.KUBEFLOW) or {})


@dataclass(frozen=True)
class PipelineInput:
    """An input of a pipeline: a parameter of a stage, under a name that is unique there."""

    stage: str
    parameter: str
    name: str
    type: type
    default: Any
    description: str


def of(
    name: str,
    without: tuple[str, ...] = (),
    renamed: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> list[PipelineInput]:
    """Return the parameters of a stage as inputs of a pipeline.

    The default of an input is its value in params.yaml, else the default of the stage, else the
    input is required.
    """
    section = PARAMS.get(name) or {}
    found = []
    for parameter, field in stage.of(name).fields().items():
        if parameter in without:
            continue
        value = field.get_default(call_default_factory=True)
        if field.is_required():
            value = inspect.Parameter.empty
        elif isinstance(value, tuple):
            value = list(value)
        found.append(
            PipelineInput(
                stage=name,
                parameter=parameter,
                name=(renamed or {}).get(parameter, parameter),
                type=specs.kubeflow_type(field),
                default=(defaults or {}).get(parameter, section.get(parameter, value)),
                description=str(field.description),
            )
        )
    return found


def takes(*inputs: PipelineInput) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a pipeline function these inputs: it is called with their values by stage."""
    ordered = sorted(inputs, key=lambda each: each.default is not inspect.Parameter.empty)

    def decorate(body: Callable[..., Any]) -> Callable[..., Any]:
        def pipeline(*values: Any) -> Any:
            by_stage: dict[str, dict[str, Any]] = {}
            for each, value in zip(ordered, values, strict=True):
                by_stage.setdefault(each.stage, {})[each.parameter] = value
            return body(by_stage)

        descriptions = "\n".join(f"    {each.name}: {each.description}" for each in ordered)
        pipeline.__name__ = body.__name__
        pipeline.__doc__ = f"{body.__doc__}\n\nArgs:\n{descriptions}\n"
        pipeline.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(
                    each.name,
                    inspect.Parameter.POSITIONAL_OR_KEYWORD,
                    annotation=each.type,
                    default=each.default,
                )
                for each in ordered
            ]
        )
        return pipeline

    return decorate
