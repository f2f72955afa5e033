"""A kind cluster of one node, and a registry of images that its node reaches as localhost:5001."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from components.errors import UserError
from tools.cluster.steps import PRESENT
from tools.cluster.versions import FOLDER
from tools.commands import output, run, succeeds

NAME = "sentiment"
CONTEXT = f"kind-{NAME}"
NODE = f"{NAME}-control-plane"
REGISTRY = "localhost:5001"
CONTAINER = "sentiment-registry"


def use_engine(engine: str) -> None:
    """Tell kind, for this process and its children, whether nodes run in docker or in podman."""
    os.environ["KIND_EXPERIMENTAL_PROVIDER"] = Path(engine).name


@dataclass(frozen=True)
class Kind:
    """A cluster by the programs kind and ``engine`` (docker or podman).

    ``mark`` is a file that is there while the cluster is being created.
    """

    engine: str
    mark: Path

    def start_registry(self, image: str) -> str:
        """Run the registry's container."""
        found = self._inspect(CONTAINER, "{{.State.Running}}")
        if found == "true":
            return PRESENT
        if found is not None:
            output(self.engine, "start", CONTAINER)
            return "started again"
        publish = f"--publish=127.0.0.1:{REGISTRY.partition(':')[2]}:5000"
        command = ["run", "--detach", "--restart=always", publish, f"--name={CONTAINER}", image]
        output(self.engine, *command)
        return "started"

    def create(self, image: str) -> str:
        """Create the cluster, again if its creation was interrupted, and wait for its node."""
        there = NAME in output("kind", "get", "clusters").split()
        if there and not self.mark.exists():
            return self._start_node()
        if there:
            run("kind", "delete", "cluster", f"--name={NAME}")
        self.mark.parent.mkdir(parents=True, exist_ok=True)
        self.mark.touch()
        config = f"--config={FOLDER / 'cluster.yaml'}"
        run(
            "kind", "create", "cluster", f"--name={NAME}", f"--image={image}", config, "--wait=300s"
        )
        self.mark.unlink()
        return "created again" if there else "created"

    def connect_registry(self) -> str:
        """Let the node pull from the registry, by the name that this machine pushes to."""
        folder = f"/etc/containerd/certs.d/{REGISTRY}"
        output(self.engine, "exec", NODE, "mkdir", "-p", folder)
        hosts = f'[host."http://{CONTAINER}:5000"]\n'
        copy = ["exec", "--interactive", NODE, "cp", "/dev/stdin", f"{folder}/hosts.toml"]
        output(self.engine, *copy, stdin=hosts)
        networks = self._inspect(CONTAINER, "{{json .NetworkSettings.Networks}}")
        if "kind" in json.loads(networks or "{}"):
            return PRESENT
        output(self.engine, "network", "connect", "kind", CONTAINER)
        return "connected"

    def delete(self) -> list[str]:
        """Delete cluster and registry, and return what was deleted."""
        deleted = []
        if NAME in output("kind", "get", "clusters").split():
            run("kind", "delete", "cluster", f"--name={NAME}")
            deleted.append(f"the kind cluster {NAME}")
        if self._inspect(CONTAINER, "{{.State.Running}}") is not None:
            output(self.engine, "rm", "--force", "--volumes", CONTAINER)
            deleted.append(f"the container {CONTAINER} and its images")
        self.mark.unlink(missing_ok=True)
        return deleted

    def _start_node(self) -> str:
        if self._inspect(NODE, "{{.State.Running}}") == "true":
            return PRESENT
        output(self.engine, "start", NODE)
        return "started again"

    def _inspect(self, container: str, form: str) -> str | None:
        """Return a field of a container; None if there is no such container."""
        command = [self.engine, "container", "inspect", "--format", form, container]
        try:
            return output(*command).strip()
        except UserError:
            if succeeds(self.engine, "info"):
                return None
            raise
