"""Render the overlays with real kubectl, and check objects against the schemas of their kinds."""

import copy
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kserve
import kubernetes.client
import kubernetes_validate
import pytest
import yaml
from kserve import models as kserve_models

from tests import definitions
from tests.conftest import REPO

OVERLAYS = ("local", "staging", "production")
KUBERNETES = "1.35"
Object = dict[str, Any]

_KSERVE = {
    ("serving.kserve.io/v1beta1", "InferenceService"): "V1beta1InferenceService",
    ("serving.kserve.io/v1alpha1", "ClusterStorageContainer"): "V1alpha1ClusterStorageContainer",
}
_SCALARS = {"str": str, "int": int, "bool": bool, "float": (int, float)}
# types that the client names differently from its own definitions
_SYNONYMS = {"K8sIoApiAppsV1DeploymentStrategy": "V1DeploymentStrategy"}


def kubectl(*arguments: str) -> str:
    """Return what kubectl prints; skip the test without kubectl."""
    if not shutil.which("kubectl"):
        pytest.skip("needs kubectl: make packages")
    result = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout


def kustomize(folder: Path) -> list[Object]:
    return [*yaml.safe_load_all(kubectl("kustomize", str(folder)))]


@cache
def _rendered(overlay: str) -> list[Object]:
    return kustomize(REPO / "manifests" / "overlays" / overlay)


def render(overlay: str) -> list[Object]:
    """Return a copy of the objects of an overlay."""
    return copy.deepcopy(_rendered(overlay))


def find(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def name(thing: Object) -> str:
    return f"{thing['kind']} {thing['metadata']['name']}"


def schema_errors(objects: list[Object]) -> list[str]:
    """Return what the schemas of the objects' kinds reject."""
    custom = [thing for thing in objects if definitions.defined(thing)]
    results = [*zip(custom, definitions.errors(custom), strict=True)]
    for thing in objects:
        key = (thing["apiVersion"], thing["kind"])
        if key in _KSERVE:
            results.append((thing, [*_by_class(thing, _KSERVE[key], "")]))
        elif thing not in custom:
            results.append((thing, [*_by_schema(thing)]))
    return [f"{name(thing)}: {error}" for thing, errors in results for error in errors]


def _by_schema(thing: Object) -> Iterator[str]:
    try:
        kubernetes_validate.validate(thing, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{error.message} at {'.'.join(map(str, error.path))}"
    except kubernetes_validate.SchemaNotFoundError:
        yield f"no schema of {thing['apiVersion']}"


def _class(wanted: str) -> Any:
    wanted = _SYNONYMS.get(wanted, wanted)
    for where in (kserve, kserve_models, kubernetes.client):
        if hasattr(where, wanted):
            return getattr(where, wanted)
    module = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", wanted).lower()
    return getattr(getattr(kserve_models, module), wanted)


def _by_class(value: Any, wanted: str, where: str) -> Iterator[str]:
    """Yield unknown fields and values of a wrong type, by the client's class of a value."""
    if match := re.fullmatch(r"(list\[|dict\(str, )(.+)[\])]", wanted):
        many = isinstance(value, list if wanted.startswith("list") else dict)
        if not many:
            yield f"{where}: {value!r} is not of type {wanted}"
            return
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _by_class(item, match[2], f"{where}.{key}")
    elif wanted in _SCALARS:
        if not isinstance(value, _SCALARS[wanted]) or isinstance(value, bool) != (wanted == "bool"):
            yield f"{where}: {value!r} is not of type {wanted}"
    elif wanted in ("object", "ResourceQuantity", "IntOrString"):
        return
    elif not isinstance(value, dict):
        yield f"{where}: {value!r} is not of type {wanted}"
    else:
        known = _class(wanted)
        fields = {key: known.openapi_types[own] for own, key in known.attribute_map.items()}
        for key, item in value.items():
            if key not in fields:
                yield f"{where}.{key}: {wanted} has no such field"
            else:
                yield from _by_class(item, fields[key], f"{where}.{key}")
