"""The InferenceService of an overlay: its predictors, and the file that deploy writes.

The overlay's folder ``template`` renders what a new predictor is made from. Its ``model.yaml`` has
the predictors that are served, each complete, with its own image: a change of the template reaches
no predictor that is served already.
"""

import difflib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from components.errors import UserError
from components.io.files import replacing

FOLDER = Path("manifests/overlays")
FILE = "model.yaml"
TEMPLATE = "template"
CONTAINER = "kserve-container"
# how many pods there are is no property of a predictor: the autoscaler decides it
SCALING = ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "autoScaling")
REGISTERED = "sentiment/registered-model"  # annotation
_HEAD = "# Written by python -m deploy.\n"


@dataclass(frozen=True)
class Predictor:
    """A version of the model and the predictor spec that serves it: the unit of a deployment.

    ``name`` is the predictor's name in KServe and the label ``version`` of its pods; it holds a
    digest of ``spec``, which has everything but names and scaling. Equal names are equal
    predictors: the API server adds defaults to the spec.
    """

    name: str
    version: str
    spec: Mapping[str, Any] = field(compare=False, repr=False)

    @property
    def image(self) -> str:
        return str(container_of(self.spec).get("image", ""))

    @property
    def uri(self) -> str:
        environment = container_of(self.spec).get("env", [])
        return str({each["name"]: each.get("value") for each in environment}["STORAGE_URI"])


@dataclass(frozen=True)
class Replicas:
    """The fewest pods of the stable predictor, canary included, and the pods of the canary."""

    stable: int
    canary: int


@dataclass(frozen=True)
class State:
    """The stable predictor, and the canary beside it with ``percent`` of the requests."""

    stable: Predictor
    canary: Predictor | None = None
    percent: int = 0
    replicas: Replicas | None = field(default=None, compare=False)

    def __str__(self) -> str:
        if self.canary is None:
            return f"{self.stable.name} for all"
        share = f"for {self.percent}% of the requests" if self.percent else "without requests"
        return f"{self.stable.name}, and {self.canary.name} {share}"


@dataclass(frozen=True)
class Service:
    """The names under which an InferenceService is found.

    ``model`` is the name in the URLs of the predictor, ``registered`` that of the model in MLflow.
    """

    name: str
    namespace: str
    model: str
    registered: str

    @property
    def manager(self) -> str:
        """Return the field manager of server-side apply, and the name of the lease."""
        return f"{self.name}-deploy"

    def deployment(self, predictor: Predictor) -> str:
        """Return the name that KServe gives to a predictor's Deployment, Service and autoscaler."""
        return f"{self.name}-{predictor.name}-predictor"


def service_of(document: dict[str, Any]) -> Service:
    """Read the names from an InferenceService.

    Raises:
        UserError: it has no namespace.
    """
    metadata = document["metadata"]
    if "namespace" not in metadata:
        raise UserError(
            f"the InferenceService {metadata['name']} has no namespace; write it into"
            f" {TEMPLATE}/service.yaml and {FILE}"
        )
    arguments = container_of(document["spec"]["predictor"]).get("args", [])
    models = [flag.partition("=")[2] for flag in arguments if flag.startswith("--model_name=")]
    model = (models or [metadata["name"]])[-1]
    registered = metadata.get("annotations", {}).get(REGISTERED, metadata["name"])
    return Service(metadata["name"], metadata["namespace"], model, registered)


def state_of(document: dict[str, Any]) -> State | None:
    """Read an InferenceService; None where its predictor has no version yet."""
    spec = document.get("spec", {})
    stable = _predictor_of(spec.get("predictor", {}))
    if stable is None:
        return None
    for entry in spec.get("canary") or []:
        if canary := _predictor_of(entry["predictor"]):
            return State(stable, canary, int(entry.get("trafficPercent", 0)))
    return State(stable)


def serves(served: dict[str, Any], document: dict[str, Any]) -> bool:
    """Tell whether an InferenceService of the cluster has the predictors and pods of a document."""

    def predictors(each: dict[str, Any]) -> list[dict[str, Any]]:
        spec = each["spec"]
        return [spec["predictor"], *(entry["predictor"] for entry in spec.get("canary") or [])]

    if state_of(served) != state_of(document):
        return False
    pairs = zip(predictors(served), predictors(document), strict=True)
    # the API server may have added defaults
    return all(
        found.get(key) == wanted[key] for found, wanted in pairs for key in SCALING if key in wanted
    )


def has_digest(name: str) -> bool:
    """Tell whether the name of a predictor stands for its whole spec."""
    return re.fullmatch(r"v.+-[0-9a-f]{8}", name) is not None


def container_of(predictor: Mapping[str, Any]) -> dict[str, Any]:
    containers = predictor.get("containers", [])
    return next((each for each in containers if each["name"] == CONTAINER), {})


def new_predictor(template: dict[str, Any], version: str, uri: str) -> Predictor:
    """Return the predictor of a version, made from a template's InferenceService.

    ``uri`` is the address from which KServe's storage initializer fetches the version.

    Raises:
        UserError: the template has no container or no image for it.
    """
    spec = _unnamed(template["spec"]["predictor"])
    environment = {"STORAGE_URI": uri, "MODEL_VERSION": version}
    container = container_of(spec)
    image = container.get("image", "")
    if not image:
        raise UserError(
            f"{TEMPLATE}: {CONTAINER} has no image; kustomize must know that containers merge by"
            " name (`openapi` in kustomization.yaml)"
        )
    if image.endswith("@sha256:" + "0" * 64):
        raise UserError(f"the image {image} does not exist; write its digest in {TEMPLATE}")
    rest = [each for each in container.get("env", []) if each["name"] not in environment]
    container["env"] = [{"name": key, "value": value} for key, value in environment.items()] + rest
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:8]
    return Predictor(f"v{version}-{digest}", version, spec)


def with_distinct_uri(new: Predictor, stable: Predictor) -> Predictor:
    """Return ``new`` with a STORAGE_URI that differs from the stable predictor's.

    KServe's webhook (``validatePredictorNameChange``, seen in August 2026) refuses a promotion
    between equal ones, as for a new image of one version. The URI gets, or loses, a slash at its
    end, and names the same files.
    """
    if new.uri != stable.uri:
        return new
    spec = json.loads(json.dumps(new.spec))
    other = new.uri.rstrip("/") if new.uri.endswith("/") else f"{new.uri}/"
    for each in container_of(spec)["env"]:
        if each["name"] == "STORAGE_URI":
            each["value"] = other
    return Predictor(new.name, new.version, spec)


def scaling_of(template: dict[str, Any]) -> dict[str, Any]:
    """Return the scaling that the template wants; the fewest replicas are at least one."""
    predictor = template["spec"]["predictor"]
    scaling = {key: predictor[key] for key in SCALING if key in predictor}
    return scaling | {"minReplicas": max(int(scaling.get("minReplicas") or 1), 1)}


def find_folder(overlay: str) -> Path:
    """Return the folder of an overlay, from its name or its path."""
    path = Path(overlay) if os.sep in overlay else FOLDER / overlay
    if (path / FILE).exists() and not (path / TEMPLATE).exists():
        raise UserError(
            f"--overlay {overlay}: {path} has no {TEMPLATE}/, as overlays had one image for all"
            f" predictors; move all but {FILE} from its kustomization.yaml (resources, components,"
            f" patches, images) to {path / TEMPLATE}, as in {FOLDER}/production"
        )
    for file in ("kustomization.yaml", FILE, f"{TEMPLATE}/kustomization.yaml"):
        if not (path / file).exists():
            known = sorted(each.parent.name for each in FOLDER.glob(f"*/{FILE}"))
            raise UserError(
                f"--overlay {overlay}: there is no {path / file};"
                f" the overlays of {FOLDER} are {', '.join(known) or 'none'}"
            )
    return path


def patch_text(path: Path, state: State, scaling: dict[str, Any]) -> str:
    """Return the content of ``model.yaml`` that makes the overlay serve ``state``.

    Name and namespace stay those in the file: kustomize finds the target of the patch by them.
    """
    replicas = state.replicas or Replicas(scaling["minReplicas"], scaling["minReplicas"])
    stable = _named(state.stable) | scaling | {"minReplicas": replicas.stable}
    if "maxReplicas" in scaling:
        stable["maxReplicas"] = max(scaling["maxReplicas"], replicas.stable)
    spec: dict[str, Any] = {"predictor": {"$patch": "replace"} | stable}
    if state.canary is not None:
        canary = _named(state.canary) | {"minReplicas": replicas.canary}
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
        UserError: the overlay serves another state, or changes an image.
    """
    state = state_of(rendered)
    if state != wanted or state is None:
        raise UserError(f"{FILE}: the overlay serves {state}, not {wanted}; is it in `patches`?")
    for found, expected in ((state.stable, wanted.stable), (state.canary, wanted.canary)):
        if found and expected and found.image != expected.image:
            raise UserError(
                f"{FILE}: the overlay changes the image of {found.name} from {expected.image} to"
                f" {found.image or 'none'}; `images` belongs into {TEMPLATE}"
            )


def _predictor_of(predictor: dict[str, Any]) -> Predictor | None:
    values = {each["name"]: each.get("value") for each in container_of(predictor).get("env", [])}
    version = values.get("MODEL_VERSION")
    if not (version and values.get("STORAGE_URI") and predictor.get("name")):
        return None
    return Predictor(predictor["name"], version, _unnamed(predictor))


def _named(predictor: Predictor) -> dict[str, Any]:
    labels = dict(predictor.spec.get("labels", {})) | {"version": predictor.name}
    return {"name": predictor.name} | dict(predictor.spec) | {"labels": labels}


def _unnamed(predictor: dict[str, Any]) -> dict[str, Any]:
    """Return a deep copy of a predictor's spec without its names and scaling."""
    spec: dict[str, Any] = json.loads(json.dumps(predictor))
    for key in ("name", *SCALING):
        spec.pop(key, None)
    labels = spec.pop("labels", {})
    labels.pop("version", None)
    return spec | ({"labels": labels} if labels else {})
