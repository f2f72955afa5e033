"""`make help` lists each target, those that only workflows use apart."""

import re
import subprocess

from tests.conftest import REPO
from tests.documents import targets

MAKEFILE = (REPO / "Makefile").read_text()


def test_help_lists_each_target():
    output = subprocess.run(["make", "help"], cwd=REPO, capture_output=True, text=True, check=True)
    for target, text in targets().items():
        assert re.search(rf"^  {target} +{re.escape(text)}$", output.stdout, re.MULTILINE)


def test_a_target_with_the_name_of_a_folder_runs():
    """Each target is phony: the folders deploy and manifests do not stand for one."""
    command = ["make", "--dry-run", "--print-data-base", "help"]
    output = subprocess.run(command, cwd=REPO, capture_output=True, text=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", output, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(targets())


def test_the_makefile_stays_short():
    assert len(MAKEFILE.splitlines()) <= 225


def test_workflow_targets_stand_apart():
    output = subprocess.run(["make", "help"], cwd=REPO, capture_output=True, text=True, check=True)
    people, _, workflows = output.stdout.partition("Targets of the workflows")
    used = {
        target
        for path in (REPO / ".github").rglob("*.yml")
        for target in re.findall(r"run: (?:sudo )?make (\S+)", path.read_text())
    }
    listed = set(re.findall(r"^  ([a-z-]+) ", workflows, re.MULTILINE))
    assert listed
    assert listed <= used
    assert not listed & set(re.findall(r"^  ([a-z-]+) ", people, re.MULTILINE))
