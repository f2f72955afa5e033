"""Declare a stage once, as a typed signature: its artifacts and its parameters.

A stage is a module with a function ``run``. Its arguments that are paths carry an
:class:`Artifact`; one argument may be a class of parameters, made by :func:`parameters`. The
command line comes from this signature, and so do the Kubeflow component (components/specs.py)
and the inputs of the pipeline. The values of parameters come from the stage's section of
``--params params.yaml``; a flag overrides its value.
"""

import argparse
import importlib
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic.dataclasses
import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from components import cli
from components.errors import UserError

# all stages, in the order of a training; each may have a section in params.yaml
STAGES = (
    *("ingest", "validate", "prepare", "count", "merge", "trial", "select", "train"),
    *("evaluate", "register", "gate", "promote", "monitor"),
    *("queue", "join", "decide"),
)
RUNGS = "rungs"  # section of params.yaml: parameters of trial and select, by rung
SEARCH = ("trial", "select")  # the stages of a rung
KUBEFLOW = "kubeflow"  # section of params.yaml: tasks of a pipeline that share a stage's work

Class = TypeVar("Class")


@typing.dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def parameters(cls: type[Class]) -> type[Class]:
    """Make a class of parameters: a frozen dataclass that checks types, ranges and names."""
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    made: Any = pydantic.dataclasses.dataclass(frozen=True, config=config)(cls)
    return made


@dataclass(frozen=True)
class Artifact:
    """A file or directory that a stage reads or writes.

    ``kind`` is its type in Kubeflow; ``flag`` its flag where that is not the argument's name.
    """

    help: str
    kind: str = "Artifact"
    output: bool = False
    flag: str = ""


@dataclass(frozen=True)
class Signature:
    """The arguments of a stage's ``run``: artifacts by name, and the class of its parameters."""

    artifacts: dict[str, Artifact]
    lists: frozenset[str]  # artifacts that are one or more paths
    argument: str = ""
    parameters: type | None = None

    def fields(self) -> dict[str, FieldInfo]:
        return getattr(self.parameters, "__pydantic_fields__", {})

    def flag(self, artifact: str) -> str:
        return self.artifacts[artifact].flag or flag(artifact)


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def signature(run: Callable[..., Any]) -> Signature:
    """Read the signature of a stage's ``run``."""
    artifacts: dict[str, Artifact] = {}
    lists: set[str] = set()
    argument, parameters = "", None
    for name, hint in typing.get_type_hints(run, include_extras=True).items():
        if hasattr(hint, "__pydantic_fields__"):
            argument, parameters = name, hint
        for mark in getattr(hint, "__metadata__", ()):
            if isinstance(mark, Artifact):
                artifacts[name] = mark
                if hint.__origin__ is not Path:
                    lists.add(name)
    return Signature(artifacts, frozenset(lists), argument, parameters)


def of(stage: str) -> Signature:
    """Return the signature of a stage by its name."""
    return signature(importlib.import_module(f"components.{stage}").run)


def parser(stage: str, run: Callable[..., Any]) -> argparse.ArgumentParser:
    """Return the command line of a stage."""
    what = signature(run)
    command = argparse.ArgumentParser(
        prog=f"python -m components.{stage}",
        description=inspect.getdoc(inspect.getmodule(run)),
        allow_abbrev=False,  # an abbreviation may mean another flag tomorrow
    )
    for name, artifact in what.artifacts.items():
        command.add_argument(
            what.flag(name),
            dest=name,
            required=True,
            nargs="+" if name in what.lists else None,
            type=Path,
            metavar="PATH",
            help=artifact.help,
        )
    if what.parameters is None:
        return command
    group = command.add_argument_group("parameters")
    group.add_argument(
        "--params",
        type=Path,
        metavar="FILE",
        help="file with a section of this stage",
    )
    if stage in SEARCH:
        group.add_argument("--rung", metavar="KEY", help="rung whose values override it")
    for name, field in what.fields().items():
        many = _is_list(field)
        group.add_argument(
            flag(name),
            nargs=("*" if field.default == () else "+") if many else None,
            type=partial(_value, typing.get_args(field.annotation)[0] if many else field),
            default=argparse.SUPPRESS,
            metavar=name.upper(),
            help=f"{field.description}{_default(field)}".replace("%", "%%"),
        )
    return command


def _is_list(field: FieldInfo) -> bool:
    return typing.get_origin(field.annotation) is tuple


def _value(field: Any, text: str) -> Any:
    """Parse the text of a flag, or raise the error that argparse reports with the flag's name."""
    if isinstance(field, FieldInfo):
        if typing.get_origin(field.annotation) is dict:
            return _mapping_of(text)
        field = Annotated[field.annotation, field]
    try:
        return TypeAdapter(field, config=ConfigDict(allow_inf_nan=False)).validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(_reason(error.errors()[0], None)) from error


def _mapping_of(text: str) -> Any:
    """Parse a mapping: YAML, of which JSON is a part, as in a file of parameters."""
    try:
        value = yaml.load(text, UniqueKeys)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"{text!r:.80}: not YAML ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r:.80}: it should be a mapping")
    return value


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return " (required, here or in --params)"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return ""
    return f" (default: {' '.join(value) if isinstance(value, tuple) else value})"


def main(
    stage: str, run: Callable[..., int | None], argv: list[str] | None = None, section: str = ""
) -> int:
    """Run a stage by its command line and return the exit code.

    ``section`` is that of params.yaml, where it has another name than the stage.
    """
    command = parser(stage, run)
    arguments = vars(command.parse_args(argv))
    what = signature(run)
    if arguments.get("rung") and not arguments["params"]:
        command.error("--rung needs --params")

    def work() -> int | None:
        given: dict[str, Any] = {name: arguments[name] for name in what.artifacts}
        _check_outputs(what, given)
        if what.parameters is not None:
            flags = {name: arguments[name] for name in what.fields() if name in arguments}
            path, rung = arguments["params"], arguments.get("rung")
            given[what.argument] = values(section or stage, what, flags, path, rung)
        return run(**given)

    return cli.run(stage, work)


def _check_outputs(what: Signature, given: dict[str, Any]) -> None:
    """Refuse an output at the path of another artifact: the later would overwrite the earlier."""
    flags: dict[Path, str] = {}
    for name, artifact in sorted(what.artifacts.items(), key=lambda item: item[1].output):
        for path in given[name] if name in what.lists else [given[name]]:
            other = flags.setdefault(path.resolve(), what.flag(name))
            if artifact.output and other != what.flag(name):
                raise UserError(f"{what.flag(name)} {path}: {other} has the same path")


class UniqueKeys(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping; YAML itself takes the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands twice")
        return super().construct_mapping(node, deep)


def read_section(path: Path, stage: str, rung: str | None = None) -> dict[str, Any]:
    """Return what ``path`` sets for a stage, and what a rung of the search sets for it.

    Raises:
        UserError: the file cannot be read, is no mapping, or has a section of no stage.
    """
    document = read(path)
    section = _mapping(document.get(stage), f"{path}: {stage}")
    if rung is None:
        return section
    rungs = _mapping(document.get(RUNGS), f"{path}: {RUNGS}")
    if rung not in rungs:
        raise UserError(f"--rung {rung}: {path} has the rungs {', '.join(rungs) or '(none)'}")
    overrides = _mapping(rungs[rung], f"{path}: {RUNGS}.{rung}")
    if unknown := overrides.keys() - {"after", *SEARCH}:
        raise UserError(f"{path}: {RUNGS}.{rung}.{min(unknown)}: no stage of the search")
    return section | _mapping(overrides.get(stage), f"{path}: {RUNGS}.{rung}.{stage}")


def read(path: Path) -> dict[str, Any]:
    """Return all sections of a file of parameters, checked for the names of the sections."""
    try:
        document = _mapping(yaml.load(path.read_text(), UniqueKeys), str(path))  # noqa: S506
    except OSError as error:
        raise UserError(f"--params {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not YAML ({error})") from error
    for name in document:
        if name not in (*STAGES, RUNGS, KUBEFLOW):
            raise UserError(f"{path}: {name}: no stage has this name")
    return document


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(f"{where}: must be a mapping of names to values; quote a key such as 1")
    return value


def values(
    stage: str,
    what: Signature,
    flags: dict[str, Any],
    path: Path | None = None,
    rung: str | None = None,
) -> Any:
    """Return the parameters of a stage: from the flags, else from ``path``, else the defaults.

    Raises:
        UserError: a name is unknown, a value is of the wrong type or out of range, or a required
            value is missing; the message names each.
    """
    assert what.parameters is not None  # noqa: S101 - for mypy
    section = read_section(path, stage, rung) if path else {}
    overrides = _mapping(read(path)[RUNGS][rung].get(stage), "") if path and rung else {}
    for name, value in section.items():
        field = what.fields().get(name)
        choice = field and typing.get_origin(field.annotation) is Literal  # names its values itself
        if isinstance(value, bool) and field and field.annotation is not bool and not choice:
            raise UserError(f"{path}: {stage}.{name}: {value} is a boolean; quote a text")
    try:
        return what.parameters(**(section | flags))
    except ValidationError as error:
        problems = []
        for each in error.errors():
            name = str(each["loc"][0]) if each["loc"] else ""
            if name and (name in flags or path is None):
                where = f"{flag(name)}: "
            elif path is not None:
                section_of_name = f"{RUNGS}.{rung}.{stage}" if name in overrides else stage
                where = f"{path}: {'.'.join(filter(None, (section_of_name, name)))}: "
            else:
                where = ""
            problems.append(where + _reason(each, path))
        raise UserError("; ".join(problems)) from error


def _reason(error: Any, path: Path | None) -> str:
    """Return what is wrong with a value, in words that name it."""
    if error["type"] in ("unexpected_keyword_argument", "unexpected_keyword"):
        return "no such parameter"
    if error["type"] == "missing":
        return "is required" + (f", in {path} or as a flag" if path else "; see --params")
    if error["type"] in ("less_than", "less_than_equal") and 1 in error["ctx"].values():
        return cli.fraction_error(str(error["input"]))
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "it should")
    message = message.replace("valid tuple", "list")
    return message if error["type"] == "value_error" else f"{error['input']!r:.80}: {message}"
