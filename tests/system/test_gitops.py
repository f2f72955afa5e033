"""Whole rollouts by git alone: a bare repository, and a stand-in for Flux that applies its branch.

tests/cluster.py stands in for the cluster. Its API server lets the deployment apply nothing.
"""

import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
import yaml

from deploy import overlay
from deploy.__main__ import EXIT_CODES
from deploy.rollout import RolloutOutcome
from tests.cluster import overlay_in, repeated, set_image, version_of
from tests.site import Site, clients, ended, site_in

MISSING = [name for name in ("kubectl", "prometheus", "git") if not shutil.which(name)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}: make packages")

FORBIDDEN = 'Error from server (Forbidden): User "ci" cannot do this'
READ_ONLY = dict.fromkeys(("apply", "patch"), FORBIDDEN)  # but for the lease


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class Controller:
    """Applies the overlay of the branch main, as Flux does; and says what it did, as Flux does."""

    def __init__(self, site: Site, folder: Path, overlay: str) -> None:
        self.site, self.folder, self.overlay = site, folder, overlay
        self.stopped = threading.Event()
        self._applied = ""

    def reconcile(self) -> None:
        if self.stopped.is_set():
            return
        git(self.folder, "fetch", "--quiet")
        git(self.folder, "reset", "--quiet", "--hard", "origin/main")
        commit = git(self.folder, "rev-parse", "HEAD")
        if commit == self._applied:
            return
        rendered = self._kubectl("kustomize", str(self.folder / self.overlay))
        (service,) = yaml.safe_load_all(rendered.stdout)
        name = "kustomize.toolkit.fluxcd.io/name"
        service["metadata"].setdefault("labels", {})[name] = "sentiment"
        namespace = f"--namespace={service['metadata']['namespace']}"
        result = self._kubectl("apply", namespace, "--filename=-", stdin=json.dumps(service))
        if result.returncode == 0:
            self._applied = commit
        ready = {"type": "Ready", "status": "True" if result.returncode == 0 else "False"}
        status = {"conditions": [ready | {"message": result.stderr}]}
        path = self.site.cluster.objects / "kustomization-sentiment.json"
        path.write_text(json.dumps({"kind": "Kustomization", "status": status}))

    def _kubectl(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = os.environ | self.site.cluster.environment | {"CONTROLLER": "1"}
        command = [f"{self.site.directory}/bin/kubectl", *arguments]
        return subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True)


@pytest.fixture(scope="module")
def controller(tmp_path_factory, trained, trained_worse):
    """A site whose overlay is in a work tree, and whose first version is deployed by git."""
    root = tmp_path_factory.mktemp("gitops")
    (root / "site").mkdir()
    with (
        site_in(root / "site", trained, trained_worse) as site,
        pytest.MonkeyPatch.context() as own,
    ):
        own.setenv("GIT_CONFIG_GLOBAL", str(root / "gitconfig"))
        (root / "gitconfig").write_text(
            "[user]\nname = A\nemail = a@example.org\n[init]\ndefaultBranch = main\n"
        )
        git(root, "init", "--quiet", "--bare", "bare")
        git(root, "clone", "--quiet", "bare", "work")
        site.overlay = overlay_in(root / "work", "local")
        publish(root / "work", "The overlay")
        git(root, "clone", "--quiet", "bare", "applied")
        git(root, "clone", "--quiet", "bare", "other")
        site.cluster.fail(**READ_ONLY)
        controller = Controller(site, root / "applied", "local")
        with repeated(controller.reconcile, 0.3):
            result = site.deploy(1, "--git")
            assert result.returncode == 0, result.stderr
            yield controller


def publish(folder: Path, message: str) -> None:
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", message)
    git(folder, "push", "--quiet", "--set-upstream", "origin", "main")


def subjects(controller: Controller) -> list[str]:
    """Return what the commits of the branch say, newest first."""
    bare = controller.folder.parent / "bare"
    return git(bare, "log", "--format=%s", "main").splitlines()


def test_the_first_version_is_a_commit(controller):
    site = controller.site
    site.wait_for(v1=100)
    newest, oldest = subjects(controller)
    assert newest.startswith("Serve v1-")
    assert newest.endswith(" for all")
    assert oldest == "The overlay"
    assert not site.lease.exists()


def test_a_canary_is_promoted_commit_by_commit(controller):
    site, before = controller.site, len(subjects(controller))
    with clients(site):
        result = site.deploy(2, "--git", "--canary", "25")
    assert result.returncode == 0, result.stderr
    site.wait_for(v2=100)
    assert {status for _, status in site.cluster.served} == {200}
    new = list(dict.fromkeys(reversed(subjects(controller)[:-before])))
    assert [each.rpartition(" for ")[2] for each in new[1:]] == [
        *(f"{share}% of the requests" for share in (25, 50, 100)),
        "all",
    ]
    assert new[0].endswith(" without requests")
    assert "waiting for git to be applied" in result.stderr
    # nothing is deleted
    assert [*site.cluster.objects.glob("horizontalpodautoscaler-sentiment-v1-*")]


def test_a_canary_that_is_rolled_back_leaves_the_branch(controller):
    site = controller.site
    (old,) = site.cluster.processes
    site.cluster.faults["3"] = {"environment": {"MODEL_VERSION": "9"}}
    set_image(site.overlay, "3")
    publish(site.overlay.parent, "A new image")
    result = site.deploy(2, "--git", "--canary", "25")
    assert result.returncode == EXIT_CODES[RolloutOutcome.ROLLED_BACK], result.stderr
    assert list(site.cluster.processes) == [old]
    assert subjects(controller)[0] == f"Serve {old} for all"
    set_image(site.overlay, "1")
    publish(site.overlay.parent, "The image before")


def test_killed_deployment_goes_on_after_a_race(controller):
    """Another change of model.yaml stops a deployment; the canary keeps its share."""
    site, other = controller.site, controller.folder.parent / "other"
    with clients(site):
        with site.started(1, "--git", "--canary", "10", "--step-seconds", "60") as deployment:
            site.wait_for(v2=90, v1=10)
            deployment.kill()
        with site.started(1, "--git", "--canary", "10", "--step-seconds", "10") as deployment:
            assert deployment.stderr is not None
            while "at 10%" not in (line := deployment.stderr.readline()) and "10% for" not in line:
                assert line, "the deployment ended"
            git(other, "pull", "--quiet")
            file = other / site.overlay.name / overlay.FILE
            file.write_text(file.read_text() + "# of another person\n")
            publish(other, "A comment")
            stopped = ended(deployment)
        assert stopped.returncode == 1, stopped.stderr
        assert "another push came first" in stopped.stderr.splitlines()[-1]
        assert "going back" not in stopped.stderr
        assert site.cluster.weights == {"v2": 90, "v1": 10}
        behind = site.deploy(1, "--git", "--canary", "10")
        assert behind.returncode == 1
        assert behind.stderr.splitlines()[-1].endswith("commits that are not here: git pull")
        git(site.overlay.parent, "pull", "--quiet")
        result = site.deploy(1, "--git", "--canary", "10")
    assert result.returncode == 0, result.stderr
    site.wait_for(v1=100)
    assert site.history()[0].outcome == "deployed"
    assert version_of(site.history()[0].before) == "v2"


def test_a_push_of_something_else_stops_nothing(controller):
    """Not even the way back of a canary that is found unfit."""
    site, other = controller.site, controller.folder.parent / "other"
    (old,) = site.cluster.processes
    site.cluster.faults["v2"] = {"environment": {"MODEL_VERSION": "9"}}
    with site.started(2, "--git", "--canary", "25") as deployment:
        assert deployment.stderr is not None
        while "without requests" not in subjects(controller)[0]:
            assert deployment.poll() is None
            time.sleep(0.05)
        git(other, "pull", "--quiet")
        (other / "note").write_text("of another person\n")
        publish(other, "Something else")
        result = ended(deployment)
    del site.cluster.faults["v2"]
    assert result.returncode == EXIT_CODES[RolloutOutcome.ROLLED_BACK], result.stderr
    assert list(site.cluster.processes) == [old]
    assert "Something else" in subjects(controller)[1:]
    assert subjects(controller)[0] == f"Serve {old} for all"


def test_one_deployment_runs_at_a_time(controller):
    site = controller.site
    with site.started(2, "--git", "--canary", "25", "--step-seconds", "600") as deployment:
        site.wait_for(v1=75, v2=25)
        second = site.deploy(2, "--git")
        assert deployment.poll() is None
        assert site.cluster.weights == {"v1": 75, "v2": 25}
        deployment.kill()
    assert second.returncode == 1, second.stderr
    assert "is deploying; run this again when that has ended" in second.stderr.splitlines()[-1]
    assert site.deploy(1, "--git").returncode == 0


def test_a_stopped_controller_is_unavailable(controller):
    site = controller.site
    controller.stopped.set()
    try:
        result = site.deploy(2, "--git", "--ready-seconds", "3")
    finally:
        controller.stopped.clear()
    assert result.returncode == 4, result.stderr
    commit = git(site.overlay, "rev-parse", "--short=7", "HEAD")
    expected = f"Flux has not applied commit {commit} yet; nothing was rolled back"
    assert result.stderr.splitlines()[-1] == f"deploy: error: {expected}"
    # the next start waits for that commit first
    assert site.deploy(2, "--git").returncode == 0


def test_what_flux_applies_is_not_applied_beside_it(controller):
    site = controller.site
    result = site.deploy(1)
    assert result.returncode == 1
    assert "Flux applies sentiment from git (its Kustomization sentiment)" in result.stderr
    assert "give --git" in result.stderr
