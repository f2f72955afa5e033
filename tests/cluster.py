"""A stand-in for a cluster: it runs on this machine what KServe would run for an InferenceService.

The predictors and the Prometheus that scrapes them are real processes. Not real are the API server
(tests/kubectl.py keeps the objects), the controller and the autoscaler (a thread here) and the
gateway (the client here splits its requests by weight).
"""

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import requests
import yaml

from deploy import overlay
from tests.conftest import REPO, free_port, running

SCHEMA = {"type": "array", "x-kubernetes-patch-merge-key": "name"}
SCHEMA["x-kubernetes-patch-strategy"] = "merge"


def base_service() -> overlay.Service:
    """Return the names in the overlays of the repository; test_manifests compares them."""
    return overlay.Service("sentiment", "sentiment", "sentiment", "sentiment")


def overlay_in(directory: Path, name: str, service: overlay.Service | None = None) -> Path:
    """Write a minimal base and an overlay without a version; return the overlay's folder."""
    service = service or base_service()
    containers = SCHEMA | {"items": {"type": "object", "properties": {"env": SCHEMA}}}
    schema = {"type": "object", "properties": {"containers": containers}}
    kind = {"group": "serving.kserve.io", "version": "v1beta1", "kind": "InferenceService"}
    definition = {
        "type": "object",
        "x-kubernetes-group-version-kind": [kind],
        "properties": {"spec": {"type": "object", "properties": {"predictor": schema}}},
    }
    container = {
        "name": "kserve-container",
        "image": "sentiment-serve",
        "args": ["--http_port=8080", f"--model_name={service.model}"],
        "env": [{"name": "STORAGE_URI", "value": "s3://models/unset"}, {"name": "A", "value": "1"}],
    }
    annotations = {overlay.REGISTERED: service.registered}
    metadata = {"name": service.name, "namespace": service.namespace}
    document = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata | {"annotations": annotations},
    }
    predictor = {"name": "v0", "minReplicas": 2, "maxReplicas": 3, "containers": [container]}
    base, folder = directory / "base", directory / name
    base.mkdir(parents=True)
    (folder / overlay.TEMPLATE).mkdir(parents=True)
    (base / "service.yaml").write_text(
        yaml.safe_dump(document | {"spec": {"predictor": predictor}})
    )
    (base / "schema.json").write_text(json.dumps({"definitions": {"isvc": definition}}))
    kustomization = {"resources": ["service.yaml"], "openapi": {"path": "schema.json"}}
    (base / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    set_image(folder, "1")
    kustomization = {"resources": [overlay.TEMPLATE], "patches": [{"path": overlay.FILE}]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (folder / overlay.FILE).write_text(yaml.safe_dump(document))  # without a version
    return folder


def set_image(folder: Path, digit: str) -> None:
    """Write the template of an overlay with an image whose digest repeats a digit."""
    image = {"name": "sentiment-serve", "newName": "registry.example.org/sentiment-serve"}
    kustomization = {
        "resources": ["../../base"],
        "images": [image | {"digest": "sha256:" + digit * 64}],
    }
    path = folder / overlay.TEMPLATE / "kustomization.yaml"
    path.write_text(yaml.safe_dump(kustomization))


class StandInCluster:
    """Does what KServe, the autoscaler and a gateway were recorded to do (tests/recordings/kserve).

    A new predictor starts with one pod, and its autoscaler adds the others. A canary gets its share
    once a pod of it is ready. A predictor that is no longer named is deleted at once, and the
    gateway takes the new shares later: requests to the deleted one fail. All pods of a predictor
    are one process here. Several on one directory are several InferenceServices in one cluster.
    """

    autoscaler_seconds = 0.5  # 15 on a real cluster
    gateway_seconds = 0.5  # up to 2 on a real cluster

    def __init__(self, directory: Path, kubectl: str, service: overlay.Service) -> None:
        self.directory, self.service = directory, service
        self.objects = directory / "objects" / service.namespace
        self.served: Counter[tuple[str, int]] = Counter()  # responses by version and status
        # by the name of a predictor, its version (v1), or a digit of its image's digest
        self.faults: dict[str, dict[str, str | list[str] | dict[str, str]]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}
        self.predictors: dict[str, dict] = {}
        self.routed: dict[str, int] = {}  # the shares in the routes
        self._taken: dict[str, int] = {}  # and those that the gateway uses
        self._routed_at = 0.0
        self._generation = 0  # of the route
        self._ready_at: dict[str, float] = {}
        self._minimum: dict[str, int] = {}
        # stands in for KServe's storage initializer
        self.fetch: Callable[[str], str] = lambda uri: urlsplit(uri).path
        for folder in (directory / "bin", self.objects):
            folder.mkdir(parents=True, exist_ok=True)
        script = directory / "bin" / "kubectl"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {REPO}/tests/kubectl.py "$@"\n')
        script.chmod(0o755)
        self.environment = {
            "PATH": f"{directory}/bin:{os.environ['PATH']}",
            "STAND_IN": str(directory),
            "REAL": kubectl,
            "PYTHONPATH": str(REPO),
        }

    @property
    def weights(self) -> dict[str, int]:
        """Return the shares of the requests by version, as v1."""
        return {version_of(name): share for name, share in self.routed.items()}

    def process(self, version: str) -> subprocess.Popen[bytes]:
        return next(p for name, p in self.processes.items() if version_of(name) == version)

    def port(self, version: str) -> int:
        return next(port for name, port in self.ports.items() if version_of(name) == version)

    def fail(self, **faults: str) -> None:
        """Make commands of kubectl fail, each with its last line on standard error."""
        partial = self.directory / "faults.partial"
        partial.write_text(json.dumps({verb.replace("_", "-"): f for verb, f in faults.items()}))
        partial.replace(self.directory / "faults.json")

    def reconcile(self) -> None:
        path = self.objects / f"inferenceservice-{self.service.name}.json"
        if not path.exists():
            return
        spec = json.loads(path.read_text())["spec"]
        canaries = spec.get("canary", [])
        wanted = {spec["predictor"]["name"]: spec["predictor"]}
        for each in canaries:
            wanted[each["predictor"]["name"]] = merged(spec["predictor"], each["predictor"])
        for name in list(self.processes):
            # a Deployment replaces its pods when their template changes
            if name not in wanted or pods_of(wanted[name]) != pods_of(self.predictors[name]):
                self._stop(name)
        for name in set(wanted) - set(self.processes):
            self._start(name, wanted[name])
        self.predictors = wanted
        for name, port in self.ports.items():
            address = f"http://127.0.0.1:{port}/v1/models/{self.service.model}"
            if name not in self._ready_at and answers(address):
                self._port(name).write_text(str(port))
                self._ready_at[name] = time.monotonic()
        self._scale(spec, canaries)
        self._route(spec, canaries)
        targets = [
            {
                "targets": [f"127.0.0.1:{port}"],
                "labels": {
                    "job": self.service.name,
                    "namespace": self.service.namespace,
                    "pod": f"{self.service.name}-{name}-0",
                    "predictor": name,
                },
            }
            for name, port in self.ports.items()
        ]
        file = f"{self.service.namespace}-{self.service.name}.targets.json"
        self._write(self.directory / file, targets)

    def _scale(self, spec: dict, canaries: list[dict]) -> None:
        """Write the Deployments and pods, as the autoscaler leaves them."""
        ready_canaries = sum(
            each["predictor"].get("minReplicas", 1)
            for each in canaries
            if each["predictor"]["name"] in self._ready_at
        )
        now = time.monotonic()
        for name, predictor in self.predictors.items():
            least = predictor.get("minReplicas", 1)
            if name == spec["predictor"]["name"]:
                least = max(least - ready_canaries, 1)
            since = self._ready_at.get(name)
            scaled = since is not None and now > since + self.autoscaler_seconds
            # an autoscaler does not scale down for five minutes
            self._minimum[name] = max(self._minimum.get(name, 1), least if scaled else 1)
            wanted = self._minimum[name]
            available = wanted if scaled else int(since is not None)
            deployment = {
                "kind": "Deployment",
                "metadata": {"name": self._deployment(name), "generation": 1},
                "spec": {"replicas": wanted},
                "status": {
                    "observedGeneration": 1,
                    "replicas": wanted,
                    "updatedReplicas": wanted,
                    "availableReplicas": available,
                },
            }
            self._write(self.objects / f"deployment-{self._deployment(name)}.json", deployment)
        wanted_names = {f"deployment-{self._deployment(name)}" for name in self.predictors}
        for path in self.objects.glob(f"deployment-{self.service.name}-v*.json"):
            if path.stem not in wanted_names:
                path.unlink()

    def _route(self, spec: dict, canaries: list[dict]) -> None:
        """Write the route with the shares of ready canaries; the gateway follows later."""
        shares = {
            each["predictor"]["name"]: each["trafficPercent"]
            for each in canaries
            if each["predictor"]["name"] in self._ready_at
        }
        routed = {spec["predictor"]["name"]: 100 - sum(shares.values())} | shares
        if routed != self.routed:
            self.routed, self._routed_at = routed, time.monotonic()
            self._generation += 1
        # a gateway accepts a route before it uses it
        accepted = time.monotonic() > self._routed_at + self.gateway_seconds / 2
        observed = self._generation if accepted else self._generation - 1
        if time.monotonic() > self._routed_at + self.gateway_seconds:
            self._taken = dict(self.routed)
        backends = [
            {"name": self._deployment(name), "weight": share} for name, share in routed.items()
        ]
        condition = {"type": "ResolvedRefs", "status": "True", "observedGeneration": observed}
        route = {
            "kind": "HTTPRoute",
            "metadata": {"name": self.service.name, "generation": self._generation},
            "spec": {"rules": [{"backendRefs": backends}]},
            "status": {"parents": [{"conditions": [condition]}]},
        }
        self._write(self.objects / f"httproute-{self.service.name}.json", route)

    def _deployment(self, name: str) -> str:
        return f"{self.service.name}-{name}-predictor"

    def _port(self, name: str) -> Path:
        """Return the file with the port of a ready predictor, for ``kubectl port-forward``."""
        return self.objects / f"port-{self._deployment(name)}"

    def _write(self, path: Path, document: object) -> None:
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(document))
        partial.replace(path)

    def _fault(self, name: str, predictor: dict) -> dict[str, str | list[str] | dict[str, str]]:
        digit = predictor["containers"][0]["image"][-1]
        keys = (name, version_of(name), digit)
        return next((self.faults[key] for key in keys if key in self.faults), {})

    def _start(self, name: str, predictor: dict) -> None:
        env = {each["name"]: each["value"] for each in predictor["containers"][0]["env"]}
        fault = self._fault(name, predictor)
        self.ports[name] = port = free_port()
        labels = {"serving.kserve.io/inferenceservice": self.service.name}
        autoscaler = {"metadata": {"name": self._deployment(name), "labels": labels}}
        path = self.objects / f"horizontalpodautoscaler-{self._deployment(name)}.json"
        self._write(path, autoscaler)  # KServe never deletes it
        command = [sys.executable, "-m", fault.get("module", "serving"), "--http_port", str(port)]
        command += ["--model_name", self.service.model]
        command += ["--grpc_port", str(free_port()), *fault.get("flags", [])]
        env["MODEL_URI"] = self.fetch(env["STORAGE_URI"])
        environment = os.environ | env | {"PYTHONPATH": str(REPO)} | fault.get("environment", {})
        with (self.directory / f"{self._deployment(name)}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log
            )

    def _stop(self, name: str) -> None:
        self._port(name).unlink(missing_ok=True)
        for known in (self.ports, self._ready_at, self._minimum):
            known.pop(name, None)
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def call(self, session: requests.Session) -> None:
        """Send a request to a predictor, by the shares that the gateway uses."""
        shares = dict(self._taken)
        if not any(shares.values()):
            return
        (name,) = random.choices(list(shares), list(shares.values()))
        if name not in self._ready_at:
            self.served[version_of(name), 500] += 1  # as a gateway without its backend
            return
        url = f"http://127.0.0.1:{self.ports[name]}/v1/models/{self.service.model}:predict"
        answer = session.post(url, json={"instances": ["A fine film."]}, timeout=30)
        self.served[version_of(name), answer.status_code] += 1


def merged(stable: dict, canary: dict) -> dict:
    """Return the spec that KServe makes of a canary's: the stable predictor's, overridden.

    Empty values override nothing but strings of a map; lists are replaced whole.
    """
    spec = dict(stable)
    for key, own in canary.items():
        below = stable.get(key)
        if key in ("labels", "annotations", "nodeSelector"):
            spec[key] = (below or {}) | own
        elif isinstance(own, dict):
            spec[key] = merged(below or {}, own)
        elif own or below is None:
            spec[key] = own
    return spec


def pods_of(predictor: dict) -> dict:
    """Return what a predictor's spec says of its pods."""
    return {key: each for key, each in predictor.items() if key not in overlay.SCALING}


def version_of(predictor: str) -> str:
    """Return v1 of v1-0a1b2c3d."""
    return predictor.partition("-")[0]


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
def stand_in_cluster(
    directory: Path, service: overlay.Service | None = None
) -> Iterator[StandInCluster]:
    kubectl = shutil.which("kubectl")
    assert kubectl is not None
    cluster = StandInCluster(directory, kubectl, service or base_service())
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
                "file_sd_configs": [{"files": ["*.targets.json"], "refresh_interval": "1s"}],
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
