"""A stand-in for kubectl without a cluster; see tests/cluster.py.

It keeps objects as files in the folder STAND_IN and leaves rendering to the real kubectl, REAL.
"""

import fcntl
import json
import os
import sys
import time
from pathlib import Path

STAND_IN = Path(os.environ["STAND_IN"])
HPAS = STAND_IN / "autoscalers"


def fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


def put(verb: str, document: dict) -> int:
    path = STAND_IN / f"{document['kind'].lower()}.json"
    with (STAND_IN / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        present = json.loads(path.read_text()) if path.exists() else None
        if verb == "create" and present:
            return fail("Error from server (AlreadyExists)")
        if verb == "replace":
            versions = [each["metadata"]["resourceVersion"] for each in (document, present)]
            if versions[0] != versions[1]:
                return fail("Error from server (Conflict): the object has been modified")
        if verb == "apply" and present and (reason := refused(present, document)):
            return fail(reason)
        document["metadata"]["resourceVersion"] = str(time.monotonic_ns())
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(document))
        partial.replace(path)
    return 0


def refused(old: dict, new: dict) -> str | None:
    """Return why KServe's webhook refuses a change, as a real one was seen to do."""
    if new["kind"] != "InferenceService":
        return None
    before, after = (each["spec"]["predictor"] for each in (old, new))
    uris = [
        {each["name"]: each["value"] for each in predictor["containers"][0]["env"]}["STORAGE_URI"]
        for predictor in (before, after)
    ]
    if before["name"] != after["name"] and uris[0] == uris[1]:
        return (
            'Error from server (BadRequest): admission webhook "inferenceservice.kserve-webhook-'
            'server.validator" denied the request: predictor.name change requires a model change'
            " (e.g. storageUri)"
        )
    return None


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
    if verb in ("create", "replace", "apply"):
        return put(verb, json.load(sys.stdin))
    kind = rest[0].partition(".")[0].partition("/")[0]
    if verb == "get" and kind == "pods":
        pods = STAND_IN / "objects" / "pods.json"
        print(pods.read_text() if pods.exists() else '{"items": []}')
    elif verb == "get" and kind == "horizontalpodautoscaler":
        print("\n".join(f"{kind}.autoscaling/{path.stem}" for path in HPAS.iterdir()))
    elif verb == "get":
        own = STAND_IN / f"{kind}.json"
        made = STAND_IN / "objects" / f"{kind}-{rest[-1]}.json"  # by the controller
        print(next((path.read_text() for path in (own, made) if path.exists()), ""), end="")
    elif verb == "delete" and kind == "horizontalpodautoscaler":
        (HPAS / rest[0].rpartition("/")[2]).unlink(missing_ok=True)
    elif verb == "delete":
        (STAND_IN / f"{kind}.json").unlink(missing_ok=True)
    elif verb == "port-forward":
        port = (STAND_IN / "ready" / rest[0].rpartition("/")[2]).read_text()
        print(f"Forwarding from 127.0.0.1:{port} -> 8080", flush=True)
        time.sleep(60)
    else:
        return fail(f"error: the stand-in has no {verb}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
