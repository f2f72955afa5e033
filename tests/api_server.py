"""A small Kubernetes API server over HTTP, for real kubectl: discovery, and objects by path.

It has what ``kubectl port-forward``, ``wait`` and ``rollout`` read, and answers a path with an
error where a test wants one.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LABELS = {"app": "predictor"}
ISVC = "/apis/serving.kserve.io/v1beta1/namespaces/sentiment/inferenceservices/sentiment"
PODS = "/api/v1/namespaces/sentiment/pods"
DEPLOYMENT = "/apis/apps/v1/namespaces/sentiment/deployments/sentiment-v1-predictor"
PORT_FORWARD = f"{PODS}/pod/portforward"


def _resources(version: str, name: str, kind: str) -> dict[str, Any]:
    verbs = ["get", "list", "watch", "patch"]
    resource = {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs}
    return {"kind": "APIResourceList", "groupVersion": version, "resources": [resource]}


def _group(name: str, version: str) -> dict[str, Any]:
    served = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [served], "preferredVersion": served}


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "pod", "namespace": "sentiment", "labels": LABELS},
    "spec": {"containers": [{"name": "kserve-container", "ports": [{"containerPort": 8080}]}]},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}
OBJECTS: dict[str, dict[str, Any]] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [_group("apps", "v1"), _group("serving.kserve.io", "v1beta1")],
    },
    "/api/v1": _resources("v1", "pods", "Pod"),
    "/apis/apps/v1": _resources("apps/v1", "deployments", "Deployment"),
    "/apis/serving.kserve.io/v1beta1": _resources(
        "serving.kserve.io/v1beta1", "inferenceservices", "InferenceService"
    ),
    PODS: {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [POD]},
    f"{PODS}/pod": POD,
    DEPLOYMENT: {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "sentiment-v1-predictor", "namespace": "sentiment", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": LABELS}},
        "status": {
            "observedGeneration": 1,
            "replicas": 1,
            "updatedReplicas": 1,
            "readyReplicas": 1,
            "availableReplicas": 1,
        },
    },
    ISVC: {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "sentiment", "namespace": "sentiment"},
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": "False"}]},
    },
}


class ApiServer(ThreadingHTTPServer):
    """``errors`` maps a path, or its beginning, to the code and reason of the error there."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.errors: dict[str, tuple[int, str]] = {}
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        path, _, query = self.path.partition("?")
        self.server.asked.append(f"{self.command} {path}")
        error = next((e for at, e in self.server.errors.items() if path.startswith(at)), None)
        if error is None and path not in OBJECTS:
            # a list of one object, as wait and rollout ask for it by a field selector
            listed = next((o for at, o in OBJECTS.items() if at.rpartition("/")[0] == path), None)
            if listed is not None:
                if "watch=true" in query:
                    self._stall()
                    return
                items = {"apiVersion": listed["apiVersion"], "kind": f"{listed['kind']}List"}
                self._send(200, items | {"metadata": {"resourceVersion": "1"}, "items": [listed]})
                return
            error = (404, "NotFound")
        if error is None:
            self._send(200, OBJECTS[path])
            return
        code, reason = error
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
        self._send(code, status | {"reason": reason, "message": f"{path} is {reason.lower()}"})

    do_GET = do_POST = do_PATCH = answer  # noqa: N815 - names of http.server

    def _stall(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        threading.Event().wait(60)

    def _send(self, code: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def api_server() -> Iterator[ApiServer]:
    server = ApiServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def kubeconfig(path: Path, address: str) -> Path:
    """Write a configuration of kubectl with the context ``test`` of a server, and return it."""
    context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": address}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [context],
        "current-context": "test",
    }
    path.write_text(json.dumps(document))
    return path
