"""A stand-in for the API server of Kubeflow Pipelines.

It keeps its state in memory and runs nothing. Its requests have the fields of the published
v2beta1 models in ``kfp_server_api``, so that a misspelt field fails a test. It answers as a server
of version 2.17.0 was recorded to answer (tests/recordings/kubeflow).
"""

import datetime
import itertools
import json
import re
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import yaml

API = "/apis/v2beta1"
RECORDINGS = Path(__file__).parent / "recordings" / "kubeflow"
NEVER = "1970-01-01T00:00:00Z"
RESOURCES = {"versions": "pipelines", "recurringruns": "jobs"}  # where the names differ
COLLECTIONS = {
    "pipelines": ("V2beta1Pipeline", "pipeline_id"),
    "versions": ("V2beta1PipelineVersion", "pipeline_version_id"),
    "experiments": ("V2beta1Experiment", "experiment_id"),
    "runs": ("V2beta1Run", "run_id"),
    "recurringruns": ("V2beta1RecurringRun", "recurring_run_id"),
}


def recorded(name: str) -> list[dict[str, Any]]:
    """Return the lines of a recording."""
    return [json.loads(line) for line in (RECORDINGS / f"{name}.jsonl").read_text().splitlines()]


def recorded_run(name: str) -> list[dict[str, Any]]:
    """Return what a server answered for one run, from first to last."""
    return [each["answer"] for each in recorded("runs") if each["run"] == name]


class StandIn(ThreadingHTTPServer):
    """A server whose state and faults the tests set and read."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.host = f"http://127.0.0.1:{self.server_port}"
        self.stored: dict[str, list[dict[str, Any]]] = {name: [] for name in COLLECTIONS}
        self.numbers = {name: itertools.count(1) for name in COLLECTIONS}
        self.token: str | None = None
        self.cookie: str | None = None
        self.version = "2.17.0"
        self.multi_user = False
        self.rights: set[tuple[str, str]] | None = None  # resource and verb; None: all
        self.states: list[tuple[str, list[dict[str, Any]]]] = [("SUCCEEDED", [])]
        self.answers: list[dict[str, Any]] = []  # of a recorded run, before ``states``
        self.requests = 0
        self.expire_after: int | None = None
        self.hiccup: str | None = None  # fault of the next request for a run
        self.login_after: int | None = None
        self.forbidden: str | None = None
        self.closing = 0
        self.health_status = 200
        self.post_status: int | None = None
        self.break_posts = False
        self.stuck = False
        self.late_version: dict[str, Any] | None = None
        self.on_run: Callable[[dict[str, Any]], None] = lambda run: None  # what its tasks would do


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, status: int, body: object) -> None:
        data = json.dumps(body, default=str).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status: int, code: int, message: str, reason: str | None = None) -> None:
        """Answer with an error; ``code`` is that of gRPC, ``reason`` the innermost message."""
        kind = "type.googleapis.com/google.rpc.Status"
        details = [{"@type": kind, "code": code, "message": reason or message}]
        self.answer(status, {"code": code, "details": details, "message": message})

    def refuse_upload(self, status: int, message: str) -> None:
        self.answer(status, {"error_details": message, "error_message": message})

    def is_forbidden(self, name: str, verb: str) -> bool:
        """Answer 403 if the rights do not hold ``verb`` for the objects of this name."""
        resource = RESOURCES.get(name, name)
        rights = self.server.rights
        if rights is None or (resource, verb) in rights:
            return False
        (line, *_) = (each for each in recorded("errors") if each["status"] == 403)
        text = json.dumps(line["answer"])  # to list pipelines
        text = text.replace("Verb:list", f"Verb:{verb}").replace("to list", f"to {verb}")
        text = text.replace("Resource:pipelines", f"Resource:{resource}")
        self.answer(403, json.loads(text.replace(f"{verb} pipelines", f"{verb} {resource}")))
        return True

    def answer_page(self, text: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def is_refused(self) -> bool:
        self.server.requests += 1
        expired = self.server.expire_after is not None
        expired = expired and self.server.requests > self.server.expire_after
        if self.server.login_after is not None and self.server.requests > self.server.login_after:
            self.answer_page("<html>Log in</html>")
            return True
        if self.server.forbidden and self.command == "POST":
            self.refuse(403, 7, self.server.forbidden)
            return True
        token = self.server.token
        if expired or (token and self.headers.get("authorization") != f"Bearer {token}"):
            self.refuse(401, 16, "Unauthenticated: there is no user identity header.")
            return True
        if self.server.cookie and self.headers.get("cookie") != self.server.cookie:
            self.send_response(302)
            self.send_header("location", "/dex/auth")
            self.end_headers()
            return True
        return False

    def body(self) -> Any:
        return self.rfile.read(int(self.headers["content-length"]))

    def do_GET(self) -> None:
        if self.is_refused():
            return None
        url = urlsplit(self.path)
        query = {key: value[0] for key, value in parse_qs(url.query).items()}
        if not url.path.startswith(API):
            return self.answer(404, {"error": "not found"})
        parts = url.path.removeprefix(f"{API}/").split("/")
        if parts == ["healthz"]:
            health = {"commit_sha": "unknown", "tag_name": self.server.version}
            health |= {"multi_user": self.server.multi_user, "pipeline_store": "database"}
            return self.answer(self.server.health_status, health)
        if parts[0] == "runs" and len(parts) == 2:
            hiccup, self.server.hiccup = self.server.hiccup, None
            if hiccup == "503":
                return self.answer(503, {"error": "upstream"})
            if hiccup == "gone":
                for _ in range(4):  # the client itself retries three times
                    self.server.closing += 1
            if self.server.closing:
                self.server.closing -= 1
                self.close_connection = True
                return self.connection.shutdown(socket.SHUT_RDWR)
            run = next((r for r in self.server.stored["runs"] if r["run_id"] == parts[1]), None)
            if run is None:
                reason = f"Run {parts[1]} not found"
                return self.refuse(404, 5, f"Failed to get a run: {reason}", reason)
            if self.is_forbidden("runs", "get"):
                return None
            if self.server.answers:
                return self.answer(200, self.server.answers.pop(0) | {"run_id": parts[1]})
            state, tasks = self.server.states[0]
            if len(self.server.states) > 1:
                self.server.states.pop(0)
            return self.answer(200, run | {"state": state, "run_details": {"task_details": tasks}})
        name = "versions" if parts[-1] == "versions" else parts[0]
        if self.is_forbidden(name, "list"):
            return None
        objects = self.server.stored[name]
        if name == "versions":
            objects = [v for v in objects if v["pipeline_id"] == parts[1]]
        if name == "recurringruns":
            objects = [r for r in objects if r["experiment_id"] == query["experiment_id"]]
        if "filter" in query:
            (predicate,) = json.loads(query["filter"])["predicates"]
            assert predicate["operation"] in (1, "EQUALS")
            objects = [o for o in objects if o[predicate["key"]] == predicate["stringValue"]]
        key = {"versions": "pipeline_versions", "recurringruns": "recurringRuns"}.get(name, name)
        return self.answer(200, {key: objects} if objects else {})

    def do_POST(self) -> None:
        if self.is_refused():
            return None
        if self.server.break_posts:
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if self.server.post_status is not None:
            return self.refuse(self.server.post_status, 13, "database is locked")
        url = urlsplit(self.path)
        if url.path == f"{API}/pipelines/upload_version":
            query = {key: value[0] for key, value in parse_qs(url.query).items()}
            (text,) = re.findall(rb"\r\n\r\n(.*?)\r\n--", self.body(), re.DOTALL)
            documents = [*yaml.safe_load_all(text), None]
            if query["pipelineid"] not in {
                p["pipeline_id"] for p in self.server.stored["pipelines"]
            }:
                return self.refuse_upload(400, "Failed to create a pipeline version")
            if "pipelineInfo" not in documents[0]:
                return self.refuse_upload(400, "unknown template format")
            if "schemaVersion" not in documents[0]:
                wrong = "KFP only supports schema version 2.1.0, but the pipeline spec has version "
                return self.refuse_upload(400, wrong)
            fields = {"pipeline_id": query["pipelineid"], "display_name": query["name"]}
            fields["pipeline_spec"] = {"pipeline_spec": documents[0], "platform_spec": documents[1]}
            return self.store("versions", fields)
        name = url.path.removeprefix(f"{API}/")
        return self.store(name, json.loads(self.body()))

    def do_DELETE(self) -> None:
        if self.is_refused():
            return
        if self.server.stuck:
            self.refuse(400, 3, "stuck")
            return
        name, wanted = self.path.removeprefix(f"{API}/").split("/")
        if self.is_forbidden(name, "delete"):
            return
        stored = self.server.stored[name]
        stored[:] = [each for each in stored if each[COLLECTIONS[name][1]] != wanted]
        self.answer(200, {})

    def store(self, name: str, fields: dict[str, Any]) -> None:
        model, key = COLLECTIONS[name]
        known = getattr(kfp_server_api, model).attribute_map.values()
        unknown = set(fields) - set(known)
        if unknown:
            return self.refuse(400, 3, f"unknown field {unknown}")
        if self.is_forbidden(name, "create"):
            return None
        if name == "versions" and self.server.late_version is not None:
            self.server.stored[name].append(fields | self.server.late_version)
            self.server.late_version = None
        if name in ("pipelines", "versions", "experiments") and any(
            each["display_name"] == fields["display_name"] for each in self.server.stored[name]
        ):
            if name == "versions":
                return self.refuse_upload(409, "Failed to create a pipeline version")
            reason = f"The name {fields['display_name']} already exists"
            return self.refuse(409, 6, f"Already exist error: {reason}", reason)
        if name == "runs" and not self.knows_version(fields):
            message = "Failed to create a new run: ResourceNotFoundError: PipelineVersion not found"
            return self.refuse(500, 13, message, "Internal Server Error")
        if not self.server.multi_user:
            fields.pop("namespace", None)
        if not (fields.get("runtime_config") or {}).get("parameters"):
            fields.pop("runtime_config", None)
        if name == "runs":
            fields |= {"state": "PENDING", "finished_at": NEVER}
        created = {
            **fields,
            key: f"{name}-{next(self.server.numbers[name])}",
            "created_at": datetime.datetime.now(datetime.UTC).isoformat(),
        }
        self.server.stored[name].append(created)
        if name == "runs":
            self.server.on_run(created)
        return self.answer(200, created)

    def knows_version(self, run: dict[str, Any]) -> bool:
        wanted = run["pipeline_version_reference"]["pipeline_version_id"]
        versions = self.server.stored["versions"]
        return wanted in {version["pipeline_version_id"] for version in versions}
