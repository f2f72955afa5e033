"""Find why a run failed: Kubeflow's API server has no reasons, the cluster has them."""

import base64
import gzip
import json
import re
import subprocess
from typing import Any

KUBEFLOW = "kubeflow"  # the namespace of runs on a server with one user
REQUEST_SECONDS = 20
ERROR = re.compile(r"^\w+: (?:error|breach): .+", re.MULTILINE)  # of a stage, and of validate


def commands(run_id: str, namespace: str | None) -> str:
    """Return the commands that show the pods of a run, their events and their logs."""
    pods = f"--namespace {namespace or KUBEFLOW} --selector pipeline/runid={run_id}"
    return (
        f"kubectl describe pods {pods}, kubectl describe workflow {pods},"
        f" kubectl logs {pods} --container main --prefix"
    )


def find(run_id: str, namespace: str | None) -> str | None:
    """Return the error of the first failed pod, or None if kubectl or its rights do not show it.

    Pods whose retry succeeded do not count: the run did not fail by them.
    """
    selector = ["--selector", f"pipeline/runid={run_id}"]
    found = _kubectl(namespace, "get", "workflows.argoproj.io", *selector, "--output", "json")
    for workflow in json.loads(found)["items"] if found else []:
        nodes = sorted(_nodes(workflow), key=lambda node: node.get("startedAt") or "")
        retries = [n for n in nodes if n["type"] == "Retry" and n["phase"] == "Succeeded"]
        replaced = {child for retry in retries for child in retry.get("children", [])}
        for node in nodes:
            failed = node["type"] == "Pod" and node["phase"] in ("Failed", "Error")
            if failed and node["id"] not in replaced:
                log = _kubectl(namespace, "logs", _pod(workflow, node), "--container", "main")
                errors = ERROR.findall(log or "")
                return errors[-1] if errors else node.get("message")
    return None


def _nodes(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes, which Argo compresses when they are larger than 1 MiB."""
    status = workflow["status"]
    if compressed := status.get("compressedNodes"):
        return list(json.loads(gzip.decompress(base64.b64decode(compressed))).values())
    return list(status.get("nodes", {}).values())


def _pod(workflow: dict[str, Any], node: dict[str, Any]) -> str:
    """Return the name that Argo gives the pod of a node."""
    return f"{workflow['metadata']['name']}-{node['templateName']}-{node['id'].split('-')[-1]}"


def _kubectl(namespace: str | None, *arguments: str) -> str | None:
    command = ["kubectl", "--namespace", namespace or KUBEFLOW, *arguments]
    command += ["--request-timeout", f"{REQUEST_SECONDS}s"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * REQUEST_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
