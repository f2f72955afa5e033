"""The cluster, by kubectl: what the overlay makes of it, what is served, and change."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.errors import UserError
from deploy.state import NAME, NAMESPACE, Model

MANAGER = "sentiment-deploy"  # of the fields that we set
BRIEFLY = "--request-timeout=30s"
# of a pod, by which kubectl reaches its own cluster without a context
_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")


@dataclass(frozen=True)
class Cluster:
    """The cluster of a kubectl context; None is the current one."""

    context: str | None = None

    def render(self, overlay: Path) -> dict[str, Any]:
        """Return the InferenceService of an overlay."""
        documents = yaml.safe_load_all(self.kubectl("kustomize", str(overlay)))
        for document in documents:
            if document["kind"] == "InferenceService" and document["metadata"]["name"] == NAME:
                return dict(document)
        raise UserError(f"{overlay}: there is no InferenceService {NAME} in it")

    def chosen(self) -> None:
        """See that there is a cluster to ask.

        Without a context kubectl asks localhost:8080, and there may be a predictor.

        Raises:
            UserError: kubectl has no context, and none was given.
        """
        if self.context is None and not _TOKEN.exists():
            self.kubectl("config", "current-context")

    def service(self) -> dict[str, Any] | None:
        """Return the InferenceService as the cluster has it, if it has one."""
        return self.get("inferenceservice.serving.kserve.io", NAME)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        answer = self.kubectl("get", kind, name, "--ignore-not-found", "--output=json", BRIEFLY)
        return dict(json.loads(answer)) if answer.strip() else None

    def apply(self, service: dict[str, Any]) -> None:
        """Set what the overlay says of the InferenceService, and nothing else of the overlay.

        Who deploys a model need not be allowed more. The overlay is what people have reviewed, so
        it wins against whoever else has set a field of it.
        """
        how = ("--server-side", "--force-conflicts", f"--field-manager={MANAGER}")
        self.kubectl("apply", *how, "--filename=-", BRIEFLY, given=json.dumps(service))

    def wait(self, model: Model, seconds: float) -> None:
        """Return when the predictor of a version is ready.

        Raises:
            UserError: it is not so in time, and kubectl's word for it.
        """
        deployment = f"deployment/{deployment_of(model)}"
        bound = f"--timeout={seconds:.0f}s"
        self.kubectl("wait", "--for=create", deployment, bound)
        self.kubectl("rollout", "status", deployment, bound, shown=True)
        ready = "--for=condition=Ready"
        self.kubectl("wait", ready, f"inferenceservice.serving.kserve.io/{NAME}", bound)

    @contextmanager
    def reached(self, model: Model) -> Iterator[str]:
        """Yield an address of the predictor of a version, whatever share of the requests it has."""
        command = self._command("port-forward", f"deployment/{deployment_of(model)}", ":8080")
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as forward:
            assert forward.stdout is not None and forward.stderr is not None  # noqa: S101 - mypy
            try:
                line = _FORWARDING.match(forward.stdout.readline())
                if line is None:
                    forward.terminate()
                    raise UserError(f"kubectl port-forward: {_last(forward.stderr.read())}")
                yield f"http://127.0.0.1:{line[1]}"
            finally:
                forward.terminate()

    def kubectl(self, *arguments: str, given: str | None = None, shown: bool = False) -> str:
        """Return what kubectl prints, or show it as it comes.

        Raises:
            UserError: it is not there, or failed.
        """
        try:
            result = subprocess.run(
                self._command(*arguments),
                input=given,
                stdout=sys.stderr if shown else subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except FileNotFoundError:
            raise UserError("kubectl is not installed") from None
        if result.returncode:
            raise UserError(f"kubectl {arguments[0]}: {_last(result.stderr)}")
        return result.stdout or ""

    def _command(self, *arguments: str) -> list[str]:
        context = [f"--context={self.context}"] if self.context else []
        return ["kubectl", *context, f"--namespace={NAMESPACE}", *arguments]


def deployment_of(model: Model) -> str:
    """Return the name that KServe gives the Deployment of a predictor."""
    return f"{NAME}-{model.predictor}-predictor"


def _last(output: str) -> str:
    return (output.strip().splitlines() or ["it did not say why"])[-1]
