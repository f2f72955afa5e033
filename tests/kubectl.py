"""A stand-in for kubectl without a cluster; see tests/cluster.py.

It keeps the objects of a namespace as files, by kind and name, in a folder of STAND_IN, and leaves
rendering to the real kubectl, REAL.
"""

import fcntl
import json
import os
import sys
import time
from pathlib import Path

STAND_IN = Path(os.environ["STAND_IN"])
DENIED = (
    'Error from server (BadRequest): admission webhook "inferenceservice.kserve-webhook-server'
    '.validator" denied the request: '
)


def fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


def put(verb: str, document: dict, folder: Path) -> int:
    if document["metadata"].get("namespace", folder.name) != folder.name:
        return fail("error: the namespace from the provided object does not match the namespace")
    path = folder / f"{document['kind'].lower()}-{document['metadata']['name']}.json"
    with (STAND_IN / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        present = json.loads(path.read_text()) if path.exists() else None
        if verb == "create" and present:
            return fail("Error from server (AlreadyExists)")
        if verb == "replace":
            versions = [each["metadata"]["resourceVersion"] for each in (document, present)]
            if versions[0] != versions[1]:
                return fail("Error from server (Conflict): the object has been modified")
        if verb == "apply" and (reason := refused(present, document)):
            return fail(DENIED + reason)
        document["metadata"]["resourceVersion"] = str(time.monotonic_ns())
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(document))
        partial.replace(path)
    return 0


def refused(old: dict | None, new: dict) -> str | None:
    """Return why KServe's webhook refuses an InferenceService.

    Source: validatePredictorNameChange, as a real one was seen to refuse, and validateCanarySpecs
    in pkg/apis/serving/v1beta1/inference_service_validation.go of KServe.
    """
    if new["kind"] != "InferenceService":
        return None
    stable = new["spec"]["predictor"]
    before = old["spec"]["predictor"] if old else stable
    if before["name"] != stable["name"] and uri_of(before) == uri_of(stable):
        return "predictor.name change requires a model change (e.g. storageUri)"
    canaries = new["spec"].get("canary", [])
    names = [each["predictor"].get("name", "") for each in canaries]
    if not all(names) or len({stable["name"], *names}) != len(names) + 1:
        return f"canary predictor.name is required, and duplicated or conflicts: {names}"
    if any(not 0 <= each["trafficPercent"] <= 100 for each in canaries):
        return "canary trafficPercent must be between 0 and 100"
    if sum(each["trafficPercent"] for each in canaries) > 100:
        return "sum of canary trafficPercent values must be <= 100"
    for canary in (each["predictor"] for each in canaries):
        for key in ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling", "workerSpec"):
            if canary.get(key):
                return f"canary {canary['name']} must not set {key}"
        if canary.get("minReplicas", 0) > stable.get("minReplicas", 1):
            return (
                f"canary {canary['name']} minReplicas must not exceed stable predictor minReplicas"
            )
    return None


def uri_of(predictor: dict) -> str:
    environment = predictor["containers"][0]["env"]
    return {each["name"]: each["value"] for each in environment}["STORAGE_URI"]


def selected(folder: Path, kind: str, flags: dict[str, str]) -> list[str]:
    """Return the names of the objects whose labels have the selector's value."""
    key, _, value = flags["selector"].partition("=")
    found = [json.loads(path.read_text())["metadata"] for path in folder.glob(f"{kind}-*.json")]
    return [each["name"] for each in found if each["labels"].get(key) == value]


def main(arguments: list[str]) -> int:
    words = [word for word in arguments if not word.startswith("--")]
    verb, rest = words[0], words[1:]
    if verb == "kustomize":
        os.execv(os.environ["REAL"], [os.environ["REAL"], *arguments])  # noqa: S606
    if verb == "config":
        print("stand-in")
        return 0
    faults = STAND_IN / "faults.json"
    user = "CONTROLLER" not in os.environ
    if user and faults.exists() and (message := json.loads(faults.read_text()).get(verb)):
        return fail(message)
    flags = dict(word[2:].partition("=")[::2] for word in arguments if word.startswith("--"))
    folder = STAND_IN / "objects" / flags["namespace"]
    if verb in ("create", "replace", "apply"):
        return put(verb, json.load(sys.stdin), folder)
    # TYPE NAME, or TYPE/NAME; a type may have its group: lease.coordination.k8s.io
    kind, name, *_ = [*" ".join(rest).replace("/", " ").split(), ""]
    path = folder / f"{kind.partition('.')[0]}-{name}.json"
    if verb == "get" and kind == "pods":
        pods = folder / "pods.json"
        print(pods.read_text() if pods.exists() else '{"items": []}')
    elif verb == "get" and "selector" in flags:
        print("\n".join(f"{kind}.autoscaling/{name}" for name in selected(folder, kind, flags)))
    elif verb == "get":
        print(path.read_text() if path.exists() else "", end="")
    elif verb == "delete":
        path.unlink(missing_ok=True)
    elif verb == "port-forward":
        port = (folder / f"port-{name}").read_text()
        print(f"Forwarding from 127.0.0.1:{port} -> 8080", flush=True)
        time.sleep(60)
    else:
        return fail(f"error: the stand-in has no {verb}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
