"""`cluster-up` with stand-ins of docker, kind and helm: steps, interruptions, parts of others."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from components.errors import UserError
from tests.cluster_programs import CUSTOM, DIGEST
from tests.conftest import REPO, assert_one_line
from tools.cluster import credentials, versions
from tools.cluster.components import COMPONENTS

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
PROGRAMS = ("docker", "kind", "helm", "kubectl")
UP = ("up", "--have", "champion")  # training one takes minutes
COMPONENTS_ONLY = ("up", "--have", "champion images s3 overlay monitoring")
WITHOUT_CHARTS = ("up", "--have", "champion cert-manager gateway kserve metrics-server")


@dataclass
class Machine:
    """Stand-ins in a folder of their own, and the command that they are for."""

    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tools.cluster", "--folder", self.folder / "made", *arguments],
            cwd=REPO,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=800,
        )

    def state(self) -> dict[str, object]:
        """Return what the stand-ins hold, without the Secrets' passwords."""
        names = ("clusters", "containers", "networks", "images", "objects")
        found = {name: self.read(name) for name in names}
        for each in found["objects"].values():
            each.pop("stringData", None)
        return found

    def read(self, name: str) -> dict:
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else {}

    def calls(self) -> list[str]:
        """Return the command lines since the last call of this."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def write(self, name: str, value: object) -> None:
        (self.folder / name).write_text(json.dumps(value))


def machine_in(folder: Path) -> Machine:
    real = shutil.which("kubectl")
    assert real is not None
    (folder / "bin").mkdir()
    for name in PROGRAMS:
        script = folder / "bin" / name
        command = f"{sys.executable} -I -S {REPO}/tests/cluster_programs.py {name}"
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        script.chmod(0o755)
    own = {"STAND_IN": str(folder), "REAL": real, "CONTAINER": "docker"}
    own["PATH"] = f"{folder}/bin:{os.environ['PATH']}"
    variables = ("CLUSTER", "CONTEXT", "REGISTRY", "HAVE", "KUBEFLOW", "BASE", "COMPONENT")
    inherited = {name: value for name, value in os.environ.items() if name not in variables}
    return Machine(folder, inherited | own)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_in(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """One run that nothing interrupts."""
    machine = machine_in(tmp_path_factory.mktemp("finished"))
    result = machine.run(*UP)
    assert result.returncode == 0, result.stderr
    return machine


def outcomes(result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return what each step said that it did."""
    lines = re.findall(r"^cluster: \d+/\d+ ([^:\n]+): (.+) \(\d+ s\)$", result.stderr, re.MULTILINE)
    return dict(lines)


def test_everything_is_set_up(finished):
    state = finished.state()
    assert state["clusters"] == {"sentiment": {"image": versions.read().images["node"]}}
    registry = state["containers"]["sentiment-registry"]
    assert set(registry["networks"]) == {"bridge", "kind"}
    (hosts,) = state["containers"]["sentiment-control-plane"]["hosts"].items()
    assert hosts[0] == "/etc/containerd/certs.d/localhost:5001/hosts.toml"
    assert "http://sentiment-registry:5000" in hosts[1]
    for component in COMPONENTS:
        for mark in component.marks:
            assert any(name.endswith(f"/{mark.partition('/')[2]}") for name in state["objects"])
    for name in ("storage/seaweedfs", "sentiment/mlflow", "monitoring/prometheus"):
        assert f"Deployment/{name}" in state["objects"]
    # python -m deploy applies it
    assert not [name for name in state["objects"] if name.startswith("InferenceService/")]


def test_images_are_those_of_versions_and_of_this_tree(finished):
    objects = finished.read("objects")
    images = {
        container["image"]
        for name in ("storage/seaweedfs", "sentiment/mlflow", "monitoring/prometheus")
        for container in objects[f"Deployment/{name}"]["spec"]["template"]["spec"]["containers"]
    }
    pinned = versions.read().images
    without_tag = re.sub(r":[^:@]+@", "@", pinned["prometheus"])
    train = f"localhost:5001/sentiment-train@{DIGEST}"
    assert images == {pinned["seaweedfs"], without_tag, train}
    # what the receiver starts on drift
    assert objects["ConfigMap/sentiment/sentiment-receiver"]["data"] == {"TRAIN_IMAGE": train}


def test_passwords_are_random_private_and_kept(finished):
    path = finished.folder / "made/secrets.json"
    values = json.loads(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(set(values.values())) == len(values)
    assert min(map(len, values.values())) >= 32
    secrets = finished.read("objects")
    capstone = secrets["Secret/sentiment/capstone-secret"]["stringData"]
    assert capstone["AWS_SECRET_ACCESS_KEY"] == values["AWS_SECRET_ACCESS_KEY"]
    assert secrets["Secret/storage/seaweedfs"]["stringData"].items() <= capstone.items()
    template = REPO / "manifests/overlays/local/capstone-secret.env.template"
    names = re.findall("^([A-Z_]+)=", template.read_text(), re.MULTILINE)
    assert set(capstone) == set(names)
    names = re.findall("^([A-Z_]+)=", template.with_name("mlflow.env.template").read_text(), re.M)
    assert set(secrets["Secret/sentiment/mlflow"]["stringData"]) == set(names)


def test_a_second_run_makes_nothing_again(finished):
    before = finished.state()
    finished.calls()
    result = finished.run(*UP)
    assert result.returncode == 0, result.stderr
    assert finished.state() == before
    calls = finished.calls()
    assert not [call for call in calls if call.startswith("helm") or " run " in call]
    assert not [call for call in calls if "create cluster" in call or "network connect" in call]
    said = outcomes(result)
    steps = ("registry", "cluster", "registry in the cluster", "secrets")
    for step in (*steps, *(each.name for each in COMPONENTS)):
        assert said[step].startswith("present"), step


@pytest.mark.parametrize(
    "call",
    [
        "kind create",
        "network connect",
        "rollout status deployment/kserve",
        "docker push",
        "get secret mlflow",
        "rollout status deployment/prometheus",
    ],
)
def test_a_killed_run_goes_on(machine, finished, call: str):
    (machine.folder / "kill").write_text(call)
    assert machine.run(*UP).returncode == -signal.SIGKILL
    result = machine.run(*UP)
    assert result.returncode == 0, result.stderr
    assert machine.state() == finished.state()


def test_a_cluster_whose_creation_was_interrupted_is_made_again(machine):
    assert machine.run(*COMPONENTS_ONLY).returncode == 0
    (machine.folder / "made/kind.creating").touch()  # as if kind itself had been killed
    result = machine.run(*COMPONENTS_ONLY)
    assert outcomes(result)["cluster"] == "created again"
    assert outcomes(result)["kserve"].startswith("installed, ")


def test_down_deletes_cluster_and_registry(machine):
    up, have, parts = WITHOUT_CHARTS
    assert machine.run(up, have, f"{parts} overlay monitoring").returncode == 0
    result = machine.run("down")
    assert result.returncode == 0, result.stderr
    assert "the kind cluster sentiment" in result.stderr
    state = machine.state()
    assert state["clusters"] == {}
    assert state["containers"] == {}
    assert not (machine.folder / "made/manifests").exists()
    assert "nothing to delete" in machine.run("down").stderr


def theirs(machine: Machine, **objects: str) -> dict[str, dict]:
    """Put objects of others into the cluster, by their keys in the stand-in."""
    found = {
        key: {"kind": key.split("/")[0], "metadata": {"name": name}}
        for key, name in objects.items()
    }
    machine.write("objects", found)
    return found


CERT_MANAGER = {
    "CustomResourceDefinition//certificates.cert-manager.io": "certificates.cert-manager.io",
    "Deployment/cert-manager/cert-manager": "cert-manager",
}
SPACE = {"Namespace//sentiment": "sentiment", "Namespace//cert-manager": "cert-manager"}
EXISTING = ("--cluster", "existing")


def test_existing_parts_are_left_alone_and_survive_down(machine):
    machine.write("outside", {"registry": True})
    before = theirs(machine, **CERT_MANAGER, **SPACE)
    result = machine.run(*EXISTING, *UP, "--registry", "localhost:5001")
    assert result.returncode == 0, result.stderr
    said = outcomes(result)
    assert said["cert-manager"] == "present, and left alone: it was made by others"
    assert said["kserve"].startswith("installed, ")
    assert not [call for call in machine.calls() if call.startswith("kind")]
    result = machine.run(*EXISTING, "down")
    assert result.returncode == 0, result.stderr
    left = machine.read("objects")
    assert left.pop("ConfigMap/default/sentiment-cluster")["data"] == {}
    # the passwords stay in a namespace that was there before
    secrets = {key for key in left if key.startswith("Secret/sentiment/")}
    assert set(left) == set(before) | secrets


def test_half_of_a_part_is_refused_with_the_way_out(machine):
    theirs(machine, **dict([*CERT_MANAGER.items()][:1]))
    result = machine.run(*EXISTING, *COMPONENTS_ONLY)
    assert_one_line(result, "cert-manager", "deployment/cert-manager", "HAVE=cert-manager")
    have = f"{COMPONENTS_ONLY[2]} cert-manager"
    machine.environment.update({"HAVE": have, "CLUSTER": "existing"})
    assert machine.run("up").returncode == 0


def test_an_existing_cluster_needs_a_registry(machine):
    assert_one_line(machine.run(*EXISTING, *UP), "REGISTRY")


def test_an_unknown_part_is_named(machine):
    assert_one_line(machine.run("up", "--have", "istio champion"), "HAVE", "istio")


def test_missing_programs_are_named_at_once(machine):
    for name in ("kind", "helm"):
        (machine.folder / "bin" / name).unlink()
    machine.environment["PATH"] = f"{machine.folder}/bin"
    for name in ("git", "sh"):
        (machine.folder / "bin" / name).symlink_to(shutil.which(name))
    assert_one_line(machine.run(*UP), "not installed: kind, helm;", "make cluster-programs")


def test_a_failed_step_names_itself_its_command_and_the_way_out(machine):
    (machine.folder / "bin/helm").write_text("#!/bin/sh\necho 'Error: no such host' >&2; exit 1\n")
    result = machine.run(*UP)
    assert_one_line(
        result, "step 4/", "cert-manager", "helm template", "no such host", "same command"
    )


def test_readable_passwords_are_refused(tmp_path):
    path = tmp_path / "secrets.json"
    path.write_text("{}")
    path.chmod(0o644)
    with pytest.raises(UserError, match=f"chmod 600 {path}"):
        credentials.ensure(path)


def test_what_the_cluster_has_is_not_overwritten(machine):
    """Not a Secret, of which the databases have the passwords, and not the served predictors."""
    machine.write("objects", {f"CustomResourceDefinition//{name}": {} for name in CUSTOM.values()})
    machine.environment.update({"CLUSTER": "existing", "REGISTRY": "localhost:5001"})
    machine.write("outside", {"registry": True})
    folder = machine.folder / "component"
    folder.mkdir()
    change = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
    patch = {"target": {"kind": "Deployment", "name": "mlflow"}, "patch": yaml.safe_dump(change)}
    head = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(head | {"patches": [patch]}))
    assert machine.run(*WITHOUT_CHARTS).returncode == 0
    path = machine.folder / "made/manifests/overlays/local/model.yaml"
    path.write_text(path.read_text().replace("s3://models/unset", "s3://models/served"))
    (machine.folder / "made/secrets.json").unlink()
    before = machine.read("objects")["Secret/sentiment/mlflow"]
    result = machine.run(*WITHOUT_CHARTS, "--component", str(folder))
    assert outcomes(result)["secrets"] == "present"
    objects = machine.read("objects")
    assert objects["Secret/sentiment/mlflow"] == before
    assert "s3://models/served" in path.read_text()
    # the overlay got the component
    assert objects["Deployment/sentiment/mlflow"]["spec"]["replicas"] == 3
