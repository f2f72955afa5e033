"""Check custom resources against types and validators generated from their definitions.

The types find an unknown field, which an API server drops silently; the validators check patterns,
lengths and limits. Both come from npm (tools/definitions).
"""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPO

PACKAGES = {
    "cert-manager.io": "cert-manager",
    "external-secrets.io": "external-secrets",
    "gateway.envoyproxy.io": "envoy-gateway",
    "gateway.networking.k8s.io": "gateway-api",
    "kustomize.toolkit.fluxcd.io": "flux-cd",
    "monitoring.coreos.com": "prometheus-operator",
    "source.toolkit.fluxcd.io": "flux-cd",
}
INSTALLED = REPO / ".venv" / "definitions"
_OPTIONS = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022"]
_OPTIONS += ["--module", "nodenext", "--moduleResolution", "nodenext"]
_cache: dict[str, list[str]] = {}


def defined(thing: dict[str, Any]) -> bool:
    """Tell whether an object's kind is in one of these packages."""
    return thing["apiVersion"].partition("/")[0] in PACKAGES


def errors(objects: list[dict[str, Any]]) -> list[list[str]]:
    """Return what is wrong with each object; results are cached by the object's text."""
    texts = [json.dumps(thing) for thing in objects]
    new = {text: thing for text, thing in zip(texts, objects, strict=True) if text not in _cache}
    if new:
        if not (INSTALLED / "installed").exists() or not shutil.which("node"):
            pytest.skip("needs the definitions of custom resources: make packages definitions")
        for text, found in zip(new, _check(list(new.items())), strict=True):
            _cache[text] = found
    return [_cache[text] for text in texts]


def _check(texts: list[tuple[str, dict[str, Any]]]) -> list[list[str]]:
    types, validators = [], []
    for number, (text, thing) in enumerate(texts):
        group, _, version = thing["apiVersion"].partition("/")
        kind = thing["kind"]
        module = f'"@kubernetes-models/{PACKAGES[group]}/{group}/{version}/{kind}"'
        types.append(
            f"import type {{ I{kind} as I{number} }} from {module}; "
            f"export const o{number}: I{number} = {text};"
        )
        validators.append(
            f"import {{ {kind} as M{number} }} from {module}; "
            f"try {{ new M{number}({text}).validate(); }} "
            f"catch (e) {{ console.log('({number + 1},1): ' + e.message); }}"
        )
    with tempfile.TemporaryDirectory(dir=INSTALLED) as folder:
        for name, lines in (("objects.ts", types), ("objects.mjs", validators)):
            (Path(folder) / name).write_text("\n".join(lines))
        compiler = INSTALLED / "node_modules" / "typescript" / "bin" / "tsc"
        output = _node(str(compiler), *_OPTIONS, f"{folder}/objects.ts")
        output += _node(f"{folder}/objects.mjs")
    found: list[list[str]] = [[] for _ in texts]
    for line in output.splitlines():
        # indented lines explain the error above them
        if match := re.match(r".*?\((\d+),\d+\): (.*)", line):
            found[int(match[1]) - 1].append(match[2])
        elif not line.startswith(" "):
            raise AssertionError(output)
    return found


def _node(*command: str) -> str:
    result = subprocess.run(["node", *command], capture_output=True, text=True, timeout=120)
    return result.stdout + result.stderr
