"""Which versions an InferenceService serves, and to whom."""

from dataclasses import dataclass
from typing import Any

NAMESPACE, NAME, CONTAINER = "sentiment", "sentiment", "kserve-container"


@dataclass(frozen=True)
class Model:
    """A version of the registry, and where KServe's storage initializer finds its files."""

    version: str
    uri: str

    @property
    def predictor(self) -> str:
        """Return the name of its predictor; the label ``version`` of its pods is the same."""
        return f"v{self.version}"


@dataclass(frozen=True)
class State:
    """Who is served what: a canary beside the stable version gets ``percent`` of the requests."""

    stable: Model
    canary: Model | None = None
    percent: int = 0

    def __str__(self) -> str:
        if self.canary is None:
            return f"version {self.stable.version} for all"
        share = f"for {self.percent}% of the requests" if self.percent else "without requests"
        return f"version {self.stable.version}, and version {self.canary.version} {share}"


def state_of(service: dict[str, Any]) -> State | None:
    """Read an InferenceService; None where its predictor has no version yet."""
    spec = service.get("spec", {})
    stable = _model(spec.get("predictor", {}))
    if stable is None:
        return None
    for entry in spec.get("canary") or []:
        if canary := _model(entry["predictor"]):
            return State(stable, canary, int(entry.get("trafficPercent", 0)))
    return State(stable)


def container_of(predictor: dict[str, Any]) -> dict[str, Any]:
    named = (each for each in predictor.get("containers", []) if each["name"] == CONTAINER)
    return next(named, {})


def _model(predictor: dict[str, Any]) -> Model | None:
    label = predictor.get("labels", {}).get("version", "")
    given = {each["name"]: each.get("value") for each in container_of(predictor).get("env", [])}
    uri = given.get("STORAGE_URI")
    return Model(label.removeprefix("v"), uri) if label and uri else None
