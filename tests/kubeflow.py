"""A stand-in for the API server of Kubeflow Pipelines.

It keeps its state in memory and runs nothing. Its requests and answers have the fields of the
published v2beta1 models in ``kfp_server_api``, so that a misspelt field fails a test.
"""

import datetime
import itertools
import json
import re
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import yaml

API = "/apis/v2beta1"
COLLECTIONS = {
    "pipelines": ("V2beta1Pipeline", "pipeline_id"),
    "versions": ("V2beta1PipelineVersion", "pipeline_version_id"),
    "experiments": ("V2beta1Experiment", "experiment_id"),
    "runs": ("V2beta1Run", "run_id"),
    "recurringruns": ("V2beta1RecurringRun", "recurring_run_id"),
}


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
        self.multi_user = False
        self.states: list[tuple[str, list[dict[str, Any]]]] = [("SUCCEEDED", [])]
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
            self.answer(403, {"error": self.server.forbidden, "code": 7})
            return True
        token = self.server.token
        if expired or (token and self.headers.get("authorization") != f"Bearer {token}"):
            self.answer(401, {"error": "Unauthenticated", "code": 16})
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
            status = self.server.health_status
            return self.answer(status, {"multi_user": self.server.multi_user})
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
            state, tasks = self.server.states[0]
            if len(self.server.states) > 1:
                self.server.states.pop(0)
            (run,) = [r for r in self.server.stored["runs"] if r["run_id"] == parts[1]]
            return self.answer(200, run | {"state": state, "run_details": {"task_details": tasks}})
        name = "versions" if parts[-1] == "versions" else parts[0]
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
            return self.answer(self.server.post_status, {"error": "database is locked"})
        url = urlsplit(self.path)
        if url.path == f"{API}/pipelines/upload_version":
            query = {key: value[0] for key, value in parse_qs(url.query).items()}
            (text,) = re.findall(rb"\r\n\r\n(.*?)\r\n--", self.body(), re.DOTALL)
            documents = list(yaml.safe_load_all(text))
            fields = {"pipeline_id": query["pipelineid"], "display_name": query["name"]}
            fields["pipeline_spec"] = {"pipeline_spec": documents[0], "platform_spec": documents[1]}
            return self.store("versions", fields)
        name = url.path.removeprefix(f"{API}/")
        return self.store(name, json.loads(self.body()))

    def do_DELETE(self) -> None:
        if self.is_refused():
            return
        if self.server.stuck:
            self.answer(400, {"error": "stuck", "code": 3})
            return
        name, wanted = self.path.removeprefix(f"{API}/").split("/")
        stored = self.server.stored[name]
        stored[:] = [each for each in stored if each[COLLECTIONS[name][1]] != wanted]
        self.answer(200, {})

    def store(self, name: str, fields: dict[str, Any]) -> None:
        model, key = COLLECTIONS[name]
        known = getattr(kfp_server_api, model).attribute_map.values()
        unknown = set(fields) - set(known)
        if unknown:
            return self.answer(400, {"error": f"unknown field {unknown}", "code": 3})
        if name == "versions" and self.server.late_version is not None:
            self.server.stored[name].append(fields | self.server.late_version)
            self.server.late_version = None
        if name == "versions" and any(
            v["display_name"] == fields["display_name"] for v in self.server.stored[name]
        ):
            return self.answer(409, {"error": "already exist", "code": 6})
        if not (fields.get("runtime_config") or {}).get("parameters"):
            fields.pop("runtime_config", None)  # as the server does
        created = {
            **fields,
            key: f"{name}-{next(self.server.numbers[name])}",
            "created_at": datetime.datetime.now(datetime.UTC).isoformat(),
        }
        self.server.stored[name].append(created)
        return self.answer(200, created)
