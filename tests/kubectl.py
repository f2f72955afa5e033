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
        document["metadata"]["resourceVersion"] = str(time.monotonic_ns())
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(document))
        partial.replace(path)
    return 0


def wait_ready(deployment: str, seconds: float) -> int:
    """Wait for the file that holds the port of a ready predictor."""
    deadline = time.monotonic() + seconds
    while not (STAND_IN / "ready" / deployment).exists():
        if time.monotonic() > deadline:
            return fail("error: timed out waiting for the condition")
        time.sleep(0.05)
    return 0


def main(arguments: list[str]) -> int:
    words = [word for word in arguments if not word.startswith("--")]
    flags = dict(word.partition("=")[::2] for word in arguments if word.startswith("--"))
    verb, rest = words[0], words[1:]
    if verb == "kustomize":
        os.execv(os.environ["REAL"], [os.environ["REAL"], *arguments])  # noqa: S606
    if verb == "config":
        print("stand-in")
        return 0
    faults = STAND_IN / "faults.json"
    if faults.exists() and (message := json.loads(faults.read_text()).get(verb)):
        return fail(message)
    if verb in ("create", "replace", "apply"):
        return put(verb, json.load(sys.stdin))
    kind = rest[0].partition(".")[0].partition("/")[0]
    if verb == "get":
        path = STAND_IN / f"{kind}.json"
        print(path.read_text() if path.exists() else "", end="")
    elif verb == "delete":
        (STAND_IN / f"{kind}.json").unlink(missing_ok=True)
    elif verb in ("wait", "rollout"):
        name = rest[-1].rpartition("/")[2]
        if rest[-1].startswith("deployment/"):
            return wait_ready(name, float(flags["--timeout"].removesuffix("s")))
    elif verb == "port-forward":
        port = (STAND_IN / "ready" / rest[0].rpartition("/")[2]).read_text()
        print(f"Forwarding from 127.0.0.1:{port} -> 8080", flush=True)
        time.sleep(60)
    else:
        return fail(f"error: the stand-in has no {verb}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
