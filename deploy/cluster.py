"""Run kubectl: render an overlay, read and change its InferenceService, reach a predictor.

An error of kubectl is sorted here, by what it prints, into those of the user, of the environment
and of the new version.
"""

import json
import logging
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from components.errors import UnavailableError, UserError
from deploy.errors import NETWORK_FAILURE, PAUSES, UnfitVersionError, retry
from deploy.overlay import Predictor, Service
from deploy.readiness import Fault, Obstacle, obstacle, unrouted

REQUEST_TIMEOUT = "--request-timeout=30s"
POD_TIMEOUT = "--pod-running-timeout=30s"
ANSWER_SECONDS = 30
POLL_SECONDS = 1.0
KIND = "inferenceservice.serving.kserve.io"
ROUTE = "httproute.gateway.networking.k8s.io"
# mounted into a pod, where kubectl reaches its own cluster without a context
_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")
_REFUSED_IN_POD = re.compile(r"error forwarding port .*refused", re.DOTALL)

_UNKNOWN_KIND = "the server doesn't have a resource type"
# messages of kubectl 1.32 for faults that are not the user's
_UNAVAILABLE = re.compile(
    r"Unable to connect to the server|connection to the server \S+ was refused"
    r"|lost connection to pod|pod is not running|error dialing backend|etcdserver:"
    r"|timed out waiting for the condition"
    r"|an error on the server|unable to handle the request|the server was unable to return"
    r"|server \((InternalError|ServiceUnavailable|ServerTimeout|Timeout|TooManyRequests)\)"
)
# if one of these matches too, the user must fix it
_USER = re.compile(r"[Ff]orbidden|x509:|certificate|getting credentials|Please enter")

_NO_PERMISSION = re.compile(r"forbidden: User .* cannot \w+ resource")

log = logging.getLogger("deploy")


def error_of(command: str, stderr: str) -> Exception:
    """Return the error that kubectl's last line stands for."""
    line = (stderr.strip().splitlines() or ["it printed no reason"])[-1]
    message = f"kubectl {command}: {line}"
    unavailable = _UNAVAILABLE.search(line) or NETWORK_FAILURE.search(line)
    if _NO_PERMISSION.search(line):
        return UserError(f"{message}; what deploy needs is in manifests/service/deployer.yaml")
    fault = UnavailableError if unavailable and not _USER.search(line) else UserError
    return fault(message)


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """Return the output of one kubectl command.

    Raises:
        UserError: kubectl is not installed, has no context or no permission, or refuses the input.
        UnavailableError: the API server cannot be reached or failed.
    """
    try:
        result = subprocess.run(
            ["kubectl", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        raise UserError("kubectl is not installed: sudo make packages") from None
    if result.returncode:
        command = next(each for each in arguments if not each.startswith("--"))
        raise error_of(command, result.stderr)
    return result.stdout


def render(folder: Path) -> dict[str, Any]:
    """Return the InferenceService of a folder, as kustomize renders it."""
    documents = yaml.safe_load_all(kubectl("kustomize", str(folder)))
    services = [each for each in documents if each["kind"] == "InferenceService"]
    if len(services) != 1:
        raise UserError(f"{folder}: it renders {len(services)} InferenceServices, not one")
    return dict(services[0])


@dataclass(frozen=True)
class Cluster:
    """The namespace of a service in the cluster of a kubectl context (None: the current one).

    What the environment fails to do is tried again after each of ``pauses``, in seconds.
    ``forward_seconds`` is how long a port-forward may take to begin.
    """

    service: Service
    context: str | None = None
    pauses: Sequence[float] = PAUSES
    forward_seconds: float = 60.0  # beyond POD_TIMEOUT, of which kubectl's own message says more

    def require_context(self) -> None:
        """Check that kubectl has a context; without one it would ask localhost:8080.

        Raises:
            UserError: it has none, or not ``self.context``.
        """
        if self.context is not None:
            kubectl("config", "get-contexts", self.context, "--output=name")
        elif not _TOKEN.exists():
            kubectl("config", "current-context")

    def inference_service(self) -> dict[str, Any] | None:
        """Return the InferenceService in the cluster, or None where there is none."""
        return self.get(KIND, self.service.name)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object; None if there is none, or if the cluster does not know its kind."""
        try:
            output = self.kubectl("get", kind, name, "--ignore-not-found", "--output=json")
        except UserError as error:
            if _UNKNOWN_KIND in str(error):
                return None
            raise
        return dict(json.loads(output)) if output.strip() else None

    def apply(self, document: dict[str, Any]) -> None:
        """Apply the InferenceService of the overlay, and nothing else of the overlay.

        So a deployment needs no further permissions. The overlay has been reviewed, so it wins
        over other managers of the same fields.
        """
        flags = ("--server-side", "--force-conflicts", f"--field-manager={self.service.manager}")
        self.kubectl("apply", *flags, "--filename=-", stdin=json.dumps(document))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Return the output of a command that one request answers; see :func:`kubectl`."""
        command = (*self._flags(), *arguments, REQUEST_TIMEOUT)
        return retry(lambda: kubectl(*command, stdin=stdin), self.pauses)

    def replicas(self, predictor: Predictor) -> int:
        """Return how many pods the autoscaler wants of a predictor; 0 if it has no Deployment."""
        deployment = self.get("deployment", self.service.deployment(predictor))
        return int(deployment["spec"].get("replicas", 1)) if deployment else 0

    def wait_ready(self, predictor: Predictor, replicas: int, seconds: float) -> None:
        """Wait until a predictor has ``replicas`` ready pods, and log what is waited for.

        Raises:
            UnfitVersionError: it cannot get ready, or is not in time, by its own fault.
            UnavailableError: the cluster is at fault: no room, no image registry, no controller.
        """
        name = self.service.deployment(predictor)

        def find() -> Obstacle | None:
            listed = self.kubectl("get", "pods", f"--selector=app=isvc.{name}", "--output=json")
            pods = json.loads(listed)["items"]
            return obstacle(self.get("deployment", name), pods, replicas)

        last = self.wait(find, f"waiting for {predictor.name}", seconds)
        if last is not None:
            error = UnfitVersionError if last.fault is Fault.PREDICTOR else UnavailableError
            raise error(f"{predictor.name} is not ready: {last.reason}")

    def wait_routed(self, shares: dict[str, int], seconds: float) -> bool:
        """Wait until the routes of the gateway give predictors, by name, their ``shares``.

        Return False if there are no routes: KServe exposes the service by an Ingress, or not at
        all.

        Raises:
            UnavailableError: they do not in time.
        """
        services = {f"{self.service.name}-{name}-predictor": each for name, each in shares.items()}
        names = (self.service.name, f"{self.service.name}-predictor")

        def find_routes() -> list[dict[str, Any]]:
            return [route for name in names if (route := self.get(ROUTE, name))]

        def find() -> Obstacle | None:
            reasons = (unrouted(route, services) for route in find_routes())
            return next((Obstacle(each, Fault.ENVIRONMENT) for each in reasons if each), None)

        last = self.wait(find, "waiting for the gateway", seconds)
        if last is not None:
            raise UnavailableError(last.reason)
        return bool(find_routes())

    def wait(
        self, find: Callable[[], Obstacle | None], what: str, seconds: float
    ) -> Obstacle | None:
        """Poll until ``find`` returns None or a final obstacle, or the time is over.

        Return the last obstacle.
        """
        deadline, said = time.monotonic() + seconds, None
        while (found := find()) is not None and not found.final:
            if found.reason != said:
                log.info("%s: %s", what, found.reason)
            said = found.reason
            if time.monotonic() >= deadline:
                break
            time.sleep(POLL_SECONDS)
        return found

    def delete_autoscalers_but(self, predictor: Predictor) -> None:
        """Delete the autoscalers of predictors that are gone: KServe leaves them behind."""
        label = f"serving.kserve.io/inferenceservice={self.service.name}"
        kind = "horizontalpodautoscaler"
        names = self.kubectl("get", kind, f"--selector={label}", "--output=name").split()
        for name in names:
            if name.rpartition("/")[2] != self.service.deployment(predictor):
                self.kubectl("delete", name, "--ignore-not-found")

    def post(self, predictor: Predictor, path: str, body: dict[str, Any]) -> requests.Response:
        """Return the response of a version's predictor to a POST, whatever its traffic share.

        Raises:
            UserError: the port-forward is forbidden.
            UnavailableError: the connection to the predictor broke.
            UnfitVersionError: the predictor refuses, closes or does not answer the connection.
        """
        return retry(lambda: self._post(predictor, path, body), self.pauses)

    def _post(self, predictor: Predictor, path: str, body: dict[str, Any]) -> requests.Response:
        with self.port_forward(predictor) as (address, forward):
            try:
                with requests.Session() as session:
                    session.trust_env = False  # no proxy, as the address is of this machine
                    return session.post(f"{address}{path}", json=body, timeout=ANSWER_SECONDS)
            except requests.Timeout as error:
                raise UnfitVersionError(
                    f"{predictor.name} did not answer its first request in {ANSWER_SECONDS} s"
                ) from error
            except requests.RequestException as error:
                raise _forward_error(predictor, forward, error) from error

    @contextmanager
    def port_forward(self, predictor: Predictor) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
        """Yield a local address of a version's predictor, and the kubectl that forwards it.

        Raises:
            UserError: the port-forward is forbidden.
            UnavailableError: no pod runs, or the API server does not answer.
        """
        target = f"deployment/{self.service.deployment(predictor)}"
        with subprocess.Popen(
            ["kubectl", *self._flags(), "port-forward", POD_TIMEOUT, target, ":8080"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as forward:
            assert forward.stdout is not None and forward.stderr is not None  # noqa: S101 - mypy
            # kubectl itself waits for ever for an API server that accepts and is silent
            limit = threading.Timer(self.forward_seconds, forward.kill)
            limit.start()
            try:
                line = _FORWARDING.match(forward.stdout.readline())
                limit.cancel()
                if line is None:
                    forward.terminate()
                    if forward.wait() == -signal.SIGKILL:
                        seconds = f"{self.forward_seconds:g} s"
                        raise UnavailableError(f"kubectl port-forward: no answer in {seconds}")
                    raise error_of("port-forward", forward.stderr.read())
                yield f"http://127.0.0.1:{line[1]}", forward
            finally:
                limit.cancel()
                forward.terminate()

    def _flags(self) -> list[str]:
        context = [f"--context={self.context}"] if self.context else []
        return [*context, f"--namespace={self.service.namespace}"]


def _forward_error(
    predictor: Predictor, forward: "subprocess.Popen[str]", error: Exception
) -> Exception:
    """Return the error for a missing response: the predictor's fault, or the connection's."""
    try:
        forward.wait(timeout=1)  # kubectl ends when it has lost its connection to the pod
    except subprocess.TimeoutExpired:
        forward.terminate()
        lost = False
    else:
        lost = True
    assert forward.stderr is not None  # noqa: S101 - mypy
    stderr = forward.stderr.read()
    if _REFUSED_IN_POD.search(stderr):
        return UnfitVersionError(f"{predictor.name} refuses connections on port 8080")
    if lost:
        return UnavailableError(f"kubectl port-forward: {stderr.strip() or error}")
    return UnfitVersionError(f"{predictor.name} closed its first request unanswered: {error}")
