"""A stand-in for a cluster: it runs on this machine what KServe would run for an InferenceService.

The predictors and the Prometheus that scrapes them are real processes. Not real are the API server
(tests/kubectl.py keeps the objects), the controller (a thread here) and the gateway (the client
here splits its requests by weight).
"""

import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import requests
import yaml

from deploy import overlay
from tests.conftest import REPO, free_port, running
from tests.serving import PREDICT

SCHEMA = {"type": "array", "x-kubernetes-patch-merge-key": "name"}
SCHEMA["x-kubernetes-patch-strategy"] = "merge"


def base_service() -> overlay.Service:
    """Return the names in manifests/base, which the overlays may change."""
    path = REPO / "manifests/base/inferenceservice.yaml"
    return overlay.service_of(yaml.safe_load(path.read_text()))


def overlay_in(directory: Path, name: str) -> Path:
    """Write a minimal base and an overlay without a version; return the overlay's folder."""
    containers = SCHEMA | {"items": {"type": "object", "properties": {"env": SCHEMA}}}
    predictor = {"type": "object", "properties": {"containers": containers}}
    kind = {"group": "serving.kserve.io", "version": "v1beta1", "kind": "InferenceService"}
    definition = {
        "type": "object",
        "x-kubernetes-group-version-kind": [kind],
        "properties": {"spec": {"type": "object", "properties": {"predictor": predictor}}},
    }
    container = {
        "name": "kserve-container",
        "image": "sentiment-serve",
        "args": ["--http_port=8080"],
        "env": [{"name": "STORAGE_URI", "value": "s3://models/unset"}, {"name": "A", "value": "1"}],
    }
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "sentiment", "namespace": "sentiment"},
        "spec": {"predictor": {"minReplicas": 2, "maxReplicas": 3, "containers": [container]}},
    }
    base, folder = directory / "base", directory / name
    base.mkdir(parents=True)
    folder.mkdir()
    (base / "service.yaml").write_text(yaml.safe_dump(service))
    (base / "schema.json").write_text(json.dumps({"definitions": {"isvc": definition}}))
    kustomization = {"resources": ["service.yaml"], "openapi": {"path": "schema.json"}}
    (base / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    image = {"name": "sentiment-serve", "newName": "registry.example.org/sentiment-serve"}
    kustomization = {
        "resources": ["../base"],
        "patches": [{"path": overlay.FILE}],
        "images": [image | {"digest": "sha256:" + "1" * 64}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    shutil.copy(REPO / overlay.FOLDER / "local" / overlay.FILE, folder)  # without a version
    return folder


class StandInCluster:
    """Starts and stops predictors as the InferenceService says, and lists them for Prometheus."""

    def __init__(self, directory: Path, kubectl: str) -> None:
        self.directory = directory
        self.served: Counter[tuple[str, int]] = Counter()  # responses by version and status
        self.faults: dict[str, dict[str, list[str] | dict[str, str]]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.weights: dict[str, int] = {}
        self.ports: dict[str, int] = {}
        self.containers: dict[str, list] = {}
        # stands in for KServe's storage initializer
        self.fetch: Callable[[str], str] = lambda uri: urlsplit(uri).path
        (directory / "ready").mkdir()
        (directory / "bin").mkdir()
        script = directory / "bin" / "kubectl"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {REPO}/tests/kubectl.py "$@"\n')
        script.chmod(0o755)
        self.environment = {
            "PATH": f"{directory}/bin:{os.environ['PATH']}",
            "STAND_IN": str(directory),
            "REAL": kubectl,
            "PYTHONPATH": str(REPO),
        }

    def fail(self, **faults: str) -> None:
        """Make commands of kubectl fail, each with its last line on standard error."""
        partial = self.directory / "faults.partial"
        partial.write_text(json.dumps({verb.replace("_", "-"): f for verb, f in faults.items()}))
        partial.replace(self.directory / "faults.json")

    def reconcile(self) -> None:
        path = self.directory / "inferenceservice.json"
        spec = json.loads(path.read_text())["spec"] if path.exists() else None
        wanted = {}
        if spec:
            canaries = spec.get("canary", [])
            shares = [each["trafficPercent"] for each in canaries]
            predictors = [spec["predictor"], *(each["predictor"] for each in canaries)]
            weights = dict(
                zip((p["name"] for p in predictors), [100 - sum(shares), *shares], strict=True)
            )
            wanted = {predictor["name"]: predictor for predictor in predictors}
            self.weights = weights
        for name in list(self.processes):
            # a Deployment replaces its pods when their template changes
            if name not in wanted or wanted[name]["containers"] != self.containers[name]:
                self._stop(name)
        for name in set(wanted) - set(self.processes):
            self._start(name, wanted[name])
        for name, port in self.ports.items():
            ready = self.directory / "ready" / f"sentiment-{name}-predictor"
            if not ready.exists() and answers(f"http://127.0.0.1:{port}/v1/models/sentiment"):
                ready.write_text(str(port))
        targets = [
            {
                "targets": [f"127.0.0.1:{port}"],
                "labels": {"namespace": "sentiment", "pod": f"{name}-0", "predictor": name},
            }
            for name, port in self.ports.items()
        ]
        partial = self.directory / "targets.partial"
        partial.write_text(json.dumps(targets))
        partial.replace(self.directory / "targets.json")

    def _start(self, name: str, predictor: dict) -> None:
        env = {each["name"]: each["value"] for each in predictor["containers"][0]["env"]}
        fault = self.faults.get(name, {})
        self.ports[name] = port = free_port()
        self.containers[name] = predictor["containers"]
        command = [sys.executable, "-m", "serving", "--http_port", str(port)]
        command += ["--grpc_port", str(free_port()), *fault.get("flags", [])]
        env["MODEL_URI"] = self.fetch(env["STORAGE_URI"])
        environment = os.environ | env | {"PYTHONPATH": str(REPO)} | fault.get("environment", {})
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log
            )

    def _stop(self, name: str) -> None:
        (self.directory / "ready" / f"sentiment-{name}-predictor").unlink(missing_ok=True)
        del self.ports[name]
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def call(self, session: requests.Session) -> None:
        """Send a request to one of the ready predictors, by weight."""
        weights = {
            name: weight
            for name, weight in dict(self.weights).items()
            if (self.directory / "ready" / f"sentiment-{name}-predictor").exists()
        }
        if not any(weights.values()):
            return
        (name,) = random.choices(list(weights), list(weights.values()))
        url = f"http://127.0.0.1:{self.ports[name]}{PREDICT}"
        answer = session.post(url, json={"instances": ["A fine film."]}, timeout=30)
        self.served[name, answer.status_code] += 1


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


@contextmanager
def repeated(work, seconds: float) -> Iterator[None]:
    """Repeat ``work`` beside the block; an error in it fails the test at the end of the block."""
    done, failed = threading.Event(), []

    def loop() -> None:
        try:
            while not done.wait(seconds):
                work()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert not failed, failed


@contextmanager
def stand_in_cluster(directory: Path) -> Iterator[StandInCluster]:
    kubectl = shutil.which("kubectl")
    assert kubectl is not None
    cluster = StandInCluster(directory, kubectl)
    try:
        with repeated(cluster.reconcile, 0.1):
            yield cluster
    finally:
        for name in list(cluster.processes):
            cluster._stop(name)


@contextmanager
def prometheus(directory: Path) -> Iterator[str]:
    """Run a Prometheus that scrapes the targets of the stand-in each second; yield its address."""
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {
                "job_name": "sentiment",
                "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}],
            }
        ],
    }
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    address = f"http://127.0.0.1:{port}"
    with running(command, f"{address}/-/ready", directory):
        yield address
