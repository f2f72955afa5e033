"""Deploy by git alone: a controller of the cluster, such as Flux, applies what is on a branch.

Nothing but the lease is written to the cluster here. Each state of a rollout is a commit, and the
next one waits until the cluster has it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import UnavailableError, UserError
from deploy import lease, overlay
from deploy.branch import Branch
from deploy.cluster import Cluster, render
from deploy.overlay import State
from deploy.readiness import Fault, Obstacle

KUSTOMIZATION = "kustomization.kustomize.toolkit.fluxcd.io"
_LABEL = "kustomize.toolkit.fluxcd.io/name"  # of what Flux has applied


def require_no_controller(cluster: Cluster, document: dict[str, Any] | None) -> None:
    """Check that Flux does not apply the InferenceService: it would undo every change.

    Raises:
        UserError: it does.
    """
    labels = (document or {}).get("metadata", {}).get("labels", {})
    if name := labels.get(_LABEL):
        raise UserError(
            f"Flux applies {cluster.service.name} from git (its Kustomization {name}) and would"
            " undo what deploy applies: give --git"
        )


@dataclass(frozen=True)
class GitOps:
    """The branch that a controller applies; ``seconds`` is how long it may take for a commit."""

    cluster: Cluster
    branch: Branch
    seconds: float

    @contextmanager
    def hold(self, folder: Path) -> Iterator[Callable[[], None]]:
        """Hold the lease, and first wait until the cluster serves what ``folder`` says.

        Yield what :func:`deploy.lease.hold` yields.
        """
        with lease.hold(self.cluster) as require_lease:
            self.branch.catch_up()
            document = render(folder)
            if overlay.state_of(document) is not None:  # else no version is deployed yet
                self._wait(document, "the present commit")
            yield require_lease

    def apply(self, document: dict[str, Any], wanted: State) -> None:
        """Commit and push ``model.yaml``, and wait until the cluster serves ``document``.

        Raises:
            UserError: another push changed the file first, or git refuses.
            UnavailableError: the controller has not applied the commit in time.
        """
        commit = self.branch.publish(f"Serve {wanted}")
        self._wait(document, f"commit {commit[:7]}")

    def _wait(self, document: dict[str, Any], commit: str) -> None:
        def find() -> Obstacle | None:
            served = self.cluster.inference_service()
            if served and overlay.serves(served, document):
                return None
            return Obstacle(self._reason(commit), Fault.ENVIRONMENT)

        last = self.cluster.wait(find, "waiting for git to be applied", self.seconds)
        if last is not None:
            raise UnavailableError(f"{last.reason}; nothing was rolled back")

    def _reason(self, commit: str) -> str:
        applied = self.cluster.get(KUSTOMIZATION, self.cluster.service.name)
        if applied is None:
            return f"the controller has not applied {commit} yet"
        conditions = applied.get("status", {}).get("conditions", [])
        failed = [each["message"] for each in conditions if each["status"] == "False"]
        if not failed:
            return f"Flux has not applied {commit} yet"
        cause = failed[0].strip().rstrip(".")
        return (
            f"Flux has not applied {commit} yet: {cause}; if the cluster refuses"
            f" {overlay.FILE}, take it back with git revert and git push"
        )
