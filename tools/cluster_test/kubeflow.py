"""Reach Kubeflow Pipelines in a cluster, as a person who may submit runs in one namespace."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines import ir
from pipelines.client import client_errors, connect
from pipelines.follow import follow, run_url, task_states
from tools.cluster.forward import Target, forwarding
from tools.cluster.kube import Kube, Object

SERVER = Target("kubeflow", "ml-pipeline", 8888)
ACCOUNT = "cluster-test"  # made for the test, and deleted again
ROLE = "kubeflow-pipelines-edit"  # see docs/kubeflow.md, as for the audience
AUDIENCE = "pipelines.kubeflow.org"
TOKEN_SECONDS = 3 * 3600
RUN_SECONDS = 3600.0  # for a run to end; on two busy cores one took nine minutes
NEWEST = 100  # one page of the API


@dataclass(frozen=True)
class Server:
    """The API of Kubeflow Pipelines at a forwarded address, and what signs in there.

    ``client`` is a client of kfp for the namespace of the runs.
    """

    address: str
    namespace: str
    token_file: Path
    client: Any

    def run_ids(self, captured: str) -> set[str]:
        """Return the newest runs that compare these captured requests."""
        with client_errors(self.address):
            listed = self.client.list_runs(
                page_size=NEWEST, sort_by="created_at desc", namespace=self.namespace
            ).runs
        return {run.run_id for run in listed or [] if _parameters(run).get("captured") == captured}

    def follow(self, pipeline: str, run_id: str) -> None:
        """Wait until a run has succeeded.

        Raises:
            UserError: it failed; the message names the task and the reason. Or it did not end.
            UnavailableError: the server does not respond.
        """
        logging.getLogger("submit").setLevel(logging.INFO)  # so that it tells the states of tasks
        names = ir.task_names(ir.load(pipeline))
        url = run_url(self.address, run_id)
        with client_errors(self.address):
            follow(self.client, run_id, url, RUN_SECONDS, names, self.namespace)

    def tasks(self, pipeline: str, run_id: str) -> dict[str, str]:
        """Return the states of a run's tasks by their display names."""
        with client_errors(self.address):
            run = self.client.get_run(run_id)
        return task_states(run, ir.task_names(ir.load(pipeline)))


def _parameters(run: Any) -> dict[str, Any]:
    return (run.runtime_config.parameters if run.runtime_config else None) or {}


@contextmanager
def signed_in(kube: Kube, namespace: str) -> Iterator[Server]:
    """Yield the server, with the token of a service account that may submit runs.

    Meanwhile kubectl's own context is that of ``kube``: the reason of a failed run is read by it.

    Raises:
        UserError: the server is none of several users, or refuses the account.
        UnavailableError: it cannot be reached.
    """
    account = _account(namespace)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))  # only its owner may read it
        config, token = folder / "kubeconfig", folder / "token"
        config.write_text(kube.kubectl("config", "view", "--minify", "--flatten"))
        stack.enter_context(_kubeconfig(config))
        stack.callback(kube.delete, account)
        kube.apply(account)
        flags = (f"--namespace={namespace}", f"--audience={AUDIENCE}")
        duration = f"--duration={TOKEN_SECONDS}s"
        token.write_text(kube.kubectl("create", "token", ACCOUNT, *flags, duration))
        forward = stack.enter_context(forwarding(kube.context, SERVER))
        with client_errors(forward.address), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that old servers do not fit
            client = connect(forward.address, namespace, token)
        yield Server(forward.address, namespace, token, client)


def _account(namespace: str) -> list[Object]:
    """Return the service account and the binding of docs/kubeflow.md, by another name."""
    metadata = {"name": ACCOUNT, "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": ROLE},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        },
    ]


@contextmanager
def _kubeconfig(path: Path) -> Iterator[None]:
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(path)
    try:
        yield
    finally:
        del os.environ["KUBECONFIG"]
        if before is not None:
            os.environ["KUBECONFIG"] = before
