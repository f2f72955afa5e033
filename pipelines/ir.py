"""Read a compiled pipeline: its name and version, its images, parameters and tasks."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import yaml

from components.errors import UserError
from components.reading import passwords

COMPILED = Path(__file__).parent / "compiled"
Documents = list[dict[str, Any]]  # the pipeline's specification, then its Kubernetes settings
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
    """Read a pipeline by its name in this package, or by its file.

    ``image`` replaces the image that each task was compiled with.

    Raises:
        UserError: there is no such file, or it is not a compiled pipeline.
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
    return str(documents[0]["pipelineInfo"]["name"])


def version(documents: Documents) -> str:
    """Return the name of the pipeline's version; equal content has an equal name."""
    canonical = json.dumps(documents, sort_keys=True).encode()
    return f"{name(documents)}-{hashlib.sha256(canonical).hexdigest()[:12]}"


def images(documents: Documents) -> list[str]:
    return sorted({container["image"] for container in _containers(documents)})


def unpinned(documents: Documents) -> list[str]:
    """Return the images that are named by a tag, which can be moved to another image."""
    return [image for image in images(documents) if not _PINNED.fullmatch(image)]


def parameters(documents: Documents, arguments: list[str]) -> dict[str, Any]:
    """Return the values of ``name=value`` arguments, checked against the pipeline's inputs.

    Raises:
        UserError: a name is unknown, a value has the wrong type or a password in it, or a required
            value is missing.
    """
    inputs = documents[0]["root"].get("inputDefinitions", {}).get("parameters", {})
    values = {}
    for argument in arguments:
        key, separator, text = argument.partition("=")
        if not separator:
            raise UserError(f"--param {argument}: say name=value")
        if key not in inputs:
            raise UserError(
                f"--param {key}: {name(documents)} has no such parameter; it takes"
                f" {', '.join(sorted(inputs)) or 'none'}"
            )
        values[key] = _parse(key, text, inputs[key]["parameterType"])
    for key, definition in inputs.items():
        if key not in values and not definition.get("isOptional"):
            raise UserError(f"--param {key}=…: {name(documents)} needs it")
    for key, value in values.items():
        _refuse_passwords(key, value)
    return values


def _refuse_passwords(key: str, value: Any) -> None:
    """Refuse an address with a password in it: the server would keep it with the run."""
    if isinstance(value, dict):
        for each in value.values():
            _refuse_passwords(key, each)
    elif isinstance(value, str) and "://" in value:
        try:
            passwords.check(value)
        except ValueError as error:
            raise UserError(f"--param {key}: {error}") from error


def _parse(key: str, text: str, kind: str) -> Any:
    accepted, description = _KINDS[kind]
    if kind == "STRING":
        return text
    try:
        value = json.loads(text, parse_constant=_reject_constant)
    except ValueError:
        value = None
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind != "BOOLEAN"):
        raise UserError(f"--param {key}={text}: it takes {description}")
    return value


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is valid in Python, but not in JSON")


def task_names(documents: Documents) -> dict[str, str]:
    """Return the display name of each task that runs in a container, by its name in the IR."""
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
