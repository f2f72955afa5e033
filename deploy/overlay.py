"""The one file of an overlay that deploy writes, and what kustomize makes of it."""

import copy
import difflib
import os
from pathlib import Path
from typing import Any

import yaml

from components.errors import UserError
from components.io.files import replacing
from deploy.state import CONTAINER, NAME, NAMESPACE, Model, State, container_of, state_of

FOLDER = Path("manifests/overlays")
FILE = "model.yaml"
_HEAD = "# Written by python -m deploy.\n"


def folder(given: str) -> Path:
    """Return the folder of an overlay that is given by its name, or by its path."""
    path = Path(given) if os.sep in given else FOLDER / given
    if not (path / "kustomization.yaml").exists():
        known = sorted(each.parent.name for each in FOLDER.glob("*/kustomization.yaml"))
        raise UserError(
            f"--overlay {given}: there is no {path}/kustomization.yaml;"
            f" the overlays of {FOLDER} are {', '.join(known) or 'none'}"
        )
    return path


def text(wanted: State, rendered: dict[str, Any]) -> str:
    """Return the patch that makes the overlay's InferenceService serve ``wanted``.

    ``rendered`` is that InferenceService as the overlay has it now, with or without a canary.
    """
    predictor = _named(wanted.stable)
    spec: dict[str, Any] = {"predictor": predictor}
    predictor["containers"] = [{"name": CONTAINER, "env": _environment(wanted.stable)}]
    if wanted.canary is not None:
        floor = _floor(rendered)
        # KServe takes the canary's replicas off those of the stable predictor
        predictor["minReplicas"] = 2 * floor
        if most := rendered["spec"]["predictor"].get("maxReplicas"):
            predictor["maxReplicas"] = max(most, 2 * floor)
        canary = _named(wanted.canary)
        # as many as must bear everything on promotion; and none would come of a share of zero
        canary["minReplicas"] = floor
        # the rest it has from the stable predictor, but a list is taken or left as a whole
        canary["containers"] = _containers(wanted.canary, rendered)
        spec["canary"] = [{"trafficPercent": wanted.percent, "predictor": canary}]
    document = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": spec,
    }
    return _HEAD + yaml.safe_dump(document, sort_keys=False)


def diff(path: Path, before: str, after: str) -> str:
    lines = (before.splitlines(keepends=True), after.splitlines(keepends=True))
    return "".join(difflib.unified_diff(*lines, str(path), str(path)))


def read(path: Path) -> str:
    """Return what is in the file; nothing where there is none yet."""
    return path.read_text() if path.exists() else ""


def write(path: Path, content: str) -> None:
    """Make ``content`` that of the file, unless it is so already."""
    if not content:
        path.unlink()
    elif content != read(path):
        with replacing(path) as partial:
            partial.write_text(content)


def check(rendered: dict[str, Any], wanted: State) -> None:
    """See that the patch did what it is for: it depends on how the overlay takes it in.

    Raises:
        UserError: it did not, and what kustomize made of it.
    """
    found = state_of(rendered)
    if found != wanted:
        raise UserError(f"{FILE}: the overlay serves {found}, not {wanted}; is it in `patches`?")
    spec = rendered["spec"]
    for predictor in (spec["predictor"], *(each["predictor"] for each in spec.get("canary", []))):
        image = container_of(predictor).get("image", "")
        if not image:
            raise UserError(
                f"{FILE}: {CONTAINER} of {predictor['name']} has lost its image; kustomize must"
                " know that containers merge by name (`openapi` in kustomization.yaml)"
            )
        if image.endswith("@sha256:" + "0" * 64):
            raise UserError(f"the image {image} is none; write its digest in kustomization.yaml")


def _named(model: Model) -> dict[str, Any]:
    return {"name": model.predictor, "labels": {"version": model.predictor}}


def _environment(model: Model) -> list[dict[str, Any]]:
    values = {"STORAGE_URI": model.uri, "MODEL_VERSION": model.version}
    return [{"name": name, "value": value} for name, value in values.items()]


def _containers(model: Model, rendered: dict[str, Any]) -> list[dict[str, Any]]:
    containers = copy.deepcopy(rendered["spec"]["predictor"]["containers"])
    own = _environment(model)
    names = {each["name"] for each in own}
    for container in containers:
        if container["name"] == CONTAINER:
            rest = [each for each in container.get("env", []) if each["name"] not in names]
            container["env"] = own + rest
    return containers


def _floor(rendered: dict[str, Any]) -> int:
    """Return the replicas that the stable predictor keeps when no canary is beside it."""
    for entry in rendered["spec"].get("canary") or []:
        return int(entry["predictor"].get("minReplicas", 1))
    return max(int(rendered["spec"]["predictor"].get("minReplicas") or 1), 1)
