"""The InferenceService of an overlay: which versions it serves, and the file that deploy writes.

The overlay's ``model.yaml`` is a patch: versions, replicas and share of a canary. Name and
namespace of the service come from the manifests alone.
"""

import copy
import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.errors import UserError
from components.io.files import replacing

FOLDER = Path("manifests/overlays")
FILE = "model.yaml"
CONTAINER = "kserve-container"
_HEAD = "# Written by python -m deploy.\n"


@dataclass(frozen=True)
class Model:
    """A version in the registry, and the address that KServe's storage initializer fetches."""

    version: str
    uri: str

    @property
    def predictor(self) -> str:
        """Return the name of its predictor, which is also the label ``version`` of its pods."""
        return f"v{self.version}"


@dataclass(frozen=True)
class State:
    """The stable version, and the canary beside it with ``percent`` of the requests."""

    stable: Model
    canary: Model | None = None
    percent: int = 0

    def __str__(self) -> str:
        if self.canary is None:
            return f"version {self.stable.version} for all"
        share = f"for {self.percent}% of the requests" if self.percent else "without requests"
        return f"version {self.stable.version}, and version {self.canary.version} {share}"


@dataclass(frozen=True)
class Service:
    """The names under which an InferenceService is found.

    ``model`` is the name in the URLs of the predictor.
    """

    name: str
    namespace: str
    model: str

    @property
    def manager(self) -> str:
        """Return the field manager of server-side apply, and the name of the lease."""
        return f"{self.name}-deploy"

    def deployment(self, model: Model) -> str:
        """Return the name that KServe gives to the Deployment of a predictor."""
        return f"{self.name}-{model.predictor}-predictor"


def service_of(document: dict[str, Any]) -> Service:
    """Read the names from an InferenceService."""
    metadata = document["metadata"]
    arguments = container_of(document["spec"]["predictor"]).get("args", [])
    models = [flag.partition("=")[2] for flag in arguments if flag.startswith("--model_name=")]
    return Service(metadata["name"], metadata["namespace"], (models or [metadata["name"]])[-1])


def state_of(document: dict[str, Any]) -> State | None:
    """Read an InferenceService; None where its predictor has no version yet."""
    spec = document.get("spec", {})
    stable = _model(spec.get("predictor", {}))
    if stable is None:
        return None
    for entry in spec.get("canary") or []:
        if canary := _model(entry["predictor"]):
            return State(stable, canary, int(entry.get("trafficPercent", 0)))
    return State(stable)


def container_of(predictor: dict[str, Any]) -> dict[str, Any]:
    containers = predictor.get("containers", [])
    return next((each for each in containers if each["name"] == CONTAINER), {})


def find_folder(overlay: str) -> Path:
    """Return the folder of an overlay, from its name or its path."""
    path = Path(overlay) if os.sep in overlay else FOLDER / overlay
    for file in ("kustomization.yaml", FILE):
        if not (path / file).exists():
            known = sorted(each.parent.name for each in FOLDER.glob(f"*/{FILE}"))
            raise UserError(
                f"--overlay {overlay}: there is no {path / file};"
                f" the overlays of {FOLDER} are {', '.join(known) or 'none'}"
            )
    return path


def patch_text(path: Path, state: State, rendered: dict[str, Any]) -> str:
    """Return the content of ``model.yaml`` that makes the overlay serve ``state``.

    ``rendered`` is the overlay's InferenceService as it is now, with or without a canary. Name and
    namespace stay those in the file: kustomize finds the target of the patch by them.
    """
    predictor = _named(state.stable)
    spec: dict[str, Any] = {"predictor": predictor}
    predictor["containers"] = [{"name": CONTAINER, "env": _environment(state.stable)}]
    if state.canary is not None:
        replicas = _min_replicas(rendered)
        # KServe subtracts the canary's replicas from those of the stable predictor
        predictor["minReplicas"] = 2 * replicas
        if maximum := rendered["spec"]["predictor"].get("maxReplicas"):
            predictor["maxReplicas"] = max(maximum, 2 * replicas)
        canary = _named(state.canary)
        # enough for all requests after promotion; by its share alone, 0% would start no pod
        canary["minReplicas"] = replicas
        # KServe merges the stable predictor's fields into the canary, but replaces whole lists
        canary["containers"] = _containers(state.canary, rendered)
        spec["canary"] = [{"trafficPercent": state.percent, "predictor": canary}]
    document = yaml.safe_load(path.read_text()) | {"spec": spec}
    return _HEAD + yaml.safe_dump(document, sort_keys=False)


def diff(path: Path, before: str, after: str) -> str:
    lines = (before.splitlines(keepends=True), after.splitlines(keepends=True))
    return "".join(difflib.unified_diff(*lines, str(path), str(path)))


def write(path: Path, content: str) -> None:
    """Write the file in one step, unless it has this content already."""
    if content != path.read_text():
        with replacing(path) as partial:
            partial.write_text(content)


def check(rendered: dict[str, Any], wanted: State) -> None:
    """Check that kustomize made ``wanted`` of the patch: the overlay decides how to merge it.

    Raises:
        UserError: the overlay serves another state, or a container has no usable image.
    """
    state = state_of(rendered)
    if state != wanted:
        raise UserError(f"{FILE}: the overlay serves {state}, not {wanted}; is it in `patches`?")
    spec = rendered["spec"]
    for predictor in (spec["predictor"], *(each["predictor"] for each in spec.get("canary", []))):
        image = container_of(predictor).get("image", "")
        if not image:
            raise UserError(
                f"{FILE}: {CONTAINER} of {predictor['name']} has lost its image; kustomize must"
                " know that containers merge by name (`openapi` in kustomization.yaml)"
            )
        if image.endswith("@sha256:" + "0" * 64):
            raise UserError(
                f"the image {image} does not exist; write its digest in kustomization.yaml"
            )


def _model(predictor: dict[str, Any]) -> Model | None:
    label = predictor.get("labels", {}).get("version", "")
    env = {each["name"]: each.get("value") for each in container_of(predictor).get("env", [])}
    uri = env.get("STORAGE_URI")
    return Model(label.removeprefix("v"), uri) if label and uri else None


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


def _min_replicas(rendered: dict[str, Any]) -> int:
    """Return the replicas that the stable predictor keeps when no canary is beside it."""
    for entry in rendered["spec"].get("canary") or []:
        return int(entry["predictor"].get("minReplicas", 1))
    return max(int(rendered["spec"]["predictor"].get("minReplicas") or 1), 1)
