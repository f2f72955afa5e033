"""A compiled pipeline as data: which images it names, which parameters it takes, which it is."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

from components.errors import UserError

COMPILED = Path(__file__).parent / "compiled"
Documents = list[dict[str, Any]]  # the pipeline's specification, then what is Kubernetes's own
_PINNED = re.compile(r".+@sha256:[0-9a-f]{64}")
_KINDS: dict[str, tuple[Any, str]] = {
    "STRING": (str, "a string"),
    "NUMBER_INTEGER": (int, "a whole number"),
    "NUMBER_DOUBLE": ((int, float), "a number"),
    "BOOLEAN": (bool, "true or false"),
    "LIST": (list, "a JSON list"),
    "STRUCT": (dict, "a JSON object"),
}


def load(pipeline: str, image: str | None = None) -> Documents:
    """Read a pipeline of this package by its name, or any by its file.

    With ``image``, every task runs in that one instead of the one it was compiled with.
    """
    path = Path(pipeline) if pipeline.endswith((".yaml", ".yml")) else COMPILED / f"{pipeline}.yaml"
    try:
        documents: Documents = list(yaml.safe_load_all(path.read_text()))
    except OSError as error:
        names = ", ".join(sorted(file.stem for file in COMPILED.glob("*.yaml")))
        message = f"--pipeline {pipeline}: {error.strerror}; there are {names}, or any .yaml file"
        raise UserError(message) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"--pipeline {pipeline}: not YAML ({error})") from error
    first = documents[0] if documents else None
    if not isinstance(first, dict) or not {"pipelineInfo", "root"} <= first.keys():
        raise UserError(f"--pipeline {pipeline}: not a compiled pipeline")
    if image is not None:
        for container in _containers(documents):
            container["image"] = image
    return documents


def dump(documents: Documents) -> str:
    return yaml.safe_dump_all(documents, sort_keys=True)


def name(documents: Documents) -> str:
    named: str = documents[0]["pipelineInfo"]["name"]
    return named


def version(documents: Documents) -> str:
    """Return the name of this version of the pipeline: the same content, the same name."""
    canonical = json.dumps(documents, sort_keys=True).encode()
    return f"{name(documents)}-{hashlib.sha256(canonical).hexdigest()[:12]}"


def images(documents: Documents) -> list[str]:
    return sorted({container["image"] for container in _containers(documents)})


def unpinned(documents: Documents) -> list[str]:
    """Return the images that are named by a tag, which may mean another image tomorrow."""
    return [image for image in images(documents) if not _PINNED.fullmatch(image)]


def parameters(documents: Documents, given: list[str]) -> dict[str, Any]:
    """Return the values of ``name=value`` texts, checked against what the pipeline takes.

    Raises:
        UserError: a name is not known, a value is of another type, or a required one is missing.
    """
    taken = documents[0]["root"].get("inputDefinitions", {}).get("parameters", {})
    values = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not separator:
            raise UserError(f"--param {text}: say name=value")
        if key not in taken:
            raise UserError(
                f"--param {key}: {name(documents)} has no such parameter; it takes"
                f" {', '.join(sorted(taken)) or 'none'}"
            )
        values[key] = _parse(key, value, taken[key]["parameterType"])
    for key, definition in taken.items():
        if key not in values and not definition.get("isOptional"):
            raise UserError(f"--param {key}=…: {name(documents)} needs it")
    return values


def _parse(key: str, text: str, kind: str) -> Any:
    accepted, words = _KINDS[kind]
    if kind == "STRING":
        return text
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError:
        value = None
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind != "BOOLEAN"):
        raise UserError(f"--param {key}={text}: it takes {words}")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is a number of Python's, and none of JSON's")


def tasks(documents: Documents) -> dict[str, str]:
    """Return the name to show for each task that runs in a container, by its name in the IR."""
    spec = documents[0]
    components = spec.get("components", {})
    dags = [spec["root"], *components.values()]
    return {
        name: task["taskInfo"]["name"]
        for dag in dags
        for name, task in dag.get("dag", {}).get("tasks", {}).items()
        if "executorLabel" in components[task["componentRef"]["name"]]
    }


def _containers(documents: Documents) -> list[dict[str, Any]]:
    executors = documents[0].get("deploymentSpec", {}).get("executors", {})
    return [executor["container"] for executor in executors.values() if "container" in executor]
