"""Run kubectl: render an overlay, read and change its InferenceService, reach a predictor.

An error of kubectl is sorted here, by what it prints, into those of the user, of the environment
and of the new version.
"""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from components.errors import UnavailableError, UserError
from deploy.errors import NETWORK_FAILURE, PAUSES, UnfitVersionError, retry
from deploy.overlay import Model, Service

REQUEST_TIMEOUT = "--request-timeout=30s"
ANSWER_SECONDS = 30
KIND = "inferenceservice.serving.kserve.io"
# mounted into a pod, where kubectl reaches its own cluster without a context
_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")
_REFUSED_IN_POD = re.compile(r"error forwarding port .*refused", re.DOTALL)

# messages of kubectl 1.32 for faults that are not the user's
_NOT_READY = re.compile(r"timed out waiting for the condition|exceeded its progress deadline")
_UNAVAILABLE = re.compile(
    r"Unable to connect to the server|connection to the server \S+ was refused"
    r"|lost connection to pod|pod is not running|error dialing backend|etcdserver:"
    r"|an error on the server|unable to handle the request|the server was unable to return"
    r"|server \((InternalError|ServiceUnavailable|ServerTimeout|Timeout|TooManyRequests)\)"
)
# if one of these matches too, the user must fix it
_USER = re.compile(r"[Ff]orbidden|x509:|certificate|getting credentials|Please enter")

log = logging.getLogger("deploy")


class NotReadyError(Exception):
    """``kubectl wait`` or ``rollout`` reached its timeout."""


def error_of(command: str, stderr: str) -> Exception:
    """Return the error that kubectl's last line stands for."""
    line = (stderr.strip().splitlines() or ["it printed no reason"])[-1]
    message = f"kubectl {command}: {line}"
    not_ready = _NOT_READY.search(line)
    if not_ready and command in ("wait", "rollout"):
        return NotReadyError(message)
    unavailable = not_ready or _UNAVAILABLE.search(line) or NETWORK_FAILURE.search(line)
    fault = UnavailableError if unavailable and not _USER.search(line) else UserError
    return fault(message)


def kubectl(*arguments: str, stdin: str | None = None, show: bool = False) -> str:
    """Return the output of one kubectl command; ``show`` sends it to standard error instead.

    Raises:
        UserError: kubectl is not installed, has no context or no permission, or refuses the input.
        UnavailableError: the API server cannot be reached or failed.
        NotReadyError: a wait timed out.
    """
    try:
        result = subprocess.run(
            ["kubectl", *arguments],
            input=stdin,
            stdout=sys.stderr if show else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except FileNotFoundError:
        raise UserError("kubectl is not installed") from None
    if result.returncode:
        command = next(each for each in arguments if not each.startswith("--"))
        raise error_of(command, result.stderr)
    return result.stdout or ""


def render(folder: Path) -> dict[str, Any]:
    """Return the InferenceService of an overlay, as kustomize renders it."""
    documents = yaml.safe_load_all(kubectl("kustomize", str(folder)))
    services = [each for each in documents if each["kind"] == "InferenceService"]
    if len(services) != 1:
        raise UserError(f"{folder}: it renders {len(services)} InferenceServices, not one")
    return dict(services[0])


@dataclass(frozen=True)
class Cluster:
    """The namespace of a service in the cluster of a kubectl context (None: the current one).

    What the environment fails to do is tried again after each of ``pauses``, in seconds.
    """

    service: Service
    context: str | None = None
    pauses: Sequence[float] = PAUSES

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
        output = self.kubectl("get", kind, name, "--ignore-not-found", "--output=json")
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

    def wait(self, model: Model, seconds: float) -> None:
        """Wait until the predictor of a version is ready.

        Raises:
            UnfitVersionError: it is not ready in time, though the API server answers.
        """
        deployment = f"deployment/{self.service.deployment(model)}"
        timeout = f"--timeout={seconds:.0f}s"
        try:
            self._wait("wait", "--for=create", deployment, timeout)
            self._wait("rollout", "status", deployment, timeout)
            self._wait("wait", "--for=condition=Ready", f"{KIND}/{self.service.name}", timeout)
        except NotReadyError as error:
            # kubectl reports the same when it has lost the API server meanwhile
            self.inference_service()
            raise UnfitVersionError(f"{model.predictor} is not ready: {error}") from error

    def _wait(self, *arguments: str) -> None:
        command = (*self._flags(), *arguments)
        retry(lambda: kubectl(*command, show=arguments[0] == "rollout"), self.pauses)

    def post(self, model: Model, path: str, body: dict[str, Any]) -> requests.Response:
        """Return the response of a version's predictor to a POST, whatever its traffic share.

        Raises:
            UserError: the port-forward is forbidden.
            UnavailableError: the connection to the predictor broke.
            UnfitVersionError: the predictor refuses, closes or does not answer the connection.
        """
        return retry(lambda: self._post(model, path, body), self.pauses)

    def _post(self, model: Model, path: str, body: dict[str, Any]) -> requests.Response:
        with self.port_forward(model) as (address, forward):
            try:
                with requests.Session() as session:
                    session.trust_env = False  # no proxy, as the address is of this machine
                    return session.post(f"{address}{path}", json=body, timeout=ANSWER_SECONDS)
            except requests.Timeout as error:
                raise UnfitVersionError(
                    f"{model.predictor} did not answer its first request in {ANSWER_SECONDS} s"
                ) from error
            except requests.RequestException as error:
                raise _forward_error(model, forward, error) from error

    @contextmanager
    def port_forward(self, model: Model) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
        """Yield a local address of a version's predictor, and the kubectl that forwards it."""
        target = f"deployment/{self.service.deployment(model)}"
        with subprocess.Popen(
            ["kubectl", *self._flags(), "port-forward", target, ":8080"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as forward:
            assert forward.stdout is not None and forward.stderr is not None  # noqa: S101 - mypy
            try:
                line = _FORWARDING.match(forward.stdout.readline())
                if line is None:
                    forward.terminate()
                    raise error_of("port-forward", forward.stderr.read())
                yield f"http://127.0.0.1:{line[1]}", forward
            finally:
                forward.terminate()

    def _flags(self) -> list[str]:
        context = [f"--context={self.context}"] if self.context else []
        return [*context, f"--namespace={self.service.namespace}"]


def _forward_error(model: Model, forward: "subprocess.Popen[str]", error: Exception) -> Exception:
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
        return UnfitVersionError(f"{model.predictor} refuses connections on port 8080")
    if lost:
        return UnavailableError(f"kubectl port-forward: {stderr.strip() or error}")
    return UnfitVersionError(f"{model.predictor} closed its first request unanswered: {error}")
