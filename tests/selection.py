"""Mark as heavy the tests that `make test` leaves out, and as slow those that only nightly runs.

A test is heavy if it needs minutes, root, or a program outside the virtual environment: if it has a
``skipif`` with a reason that begins with "needs", uses a fixture of FIXTURES, or matches a pattern
of TESTS. While `make test` runs, a test that starts such a program fails.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

import pytest

NOT_HEAVY = "not heavy"  # the expression that `make test` gives to pytest
PROGRAMS = (
    *("amtool", "buildah", "chromium", "docker", "docker-registry", "kubectl", "mmdebstrap"),
    *("node", "npm", "podman", "prometheus", "prometheus-alertmanager", "promtool", "psql"),
    "qemu-aarch64-static",
)
SLOW = {  # by path beneath tests/; `make test-most` leaves them to `make test-all`
    "integration/test_faults.py::*": "kills each stage many times",
    "system/test_delivery.py::*": "images",
    "system/test_deploy_to_a_stand_in_cluster.py::*": "waits for eighteen canaries",
    "system/test_drift_demo.py::*": "trains twice",
    "system/test_forget.py::*": "trains twice",
    "system/test_images.py::*": "images",
    "system/test_interruptions.py::*": "trains twice",
    "system/test_pipeline_local.py::*": "images",
    "system/test_reproducible.py::*": "trains twice",
    "system/test_two_models.py::*": "trains twice",
}
FIXTURES = {
    "alertmanager": "Alertmanager",
    "images": "podman",
    "kserve_storage": "the environment of kserve_storage",
    "postgres": "PostgreSQL",
    "prometheus": "Prometheus",
    "sphinx": "the environment of Sphinx",
}
TESTS = {  # by path beneath tests/
    "system/*": "clones, containers, a browser",
    "contract/test_aws.py::*github_may_deploy*": "kubectl",
    "contract/test_gitops.py::*": "kubectl",
    "contract/test_kubeflow_manifests.py::*": "kubectl",
    "contract/test_manifests*": "kubectl",
    "contract/test_monitoring*": "kubectl",
    "contract/test_second_model.py::*": "kubectl",
    "contract/test_workflows.py::*linters*": "npm",
    "contract/test_workflows.py::*shellcheck*": "npm",
    "integration/test_faults.py::*": "root, and minutes: it kills each stage many times",
    "integration/test_t[ar]*.py::*": "Prometheus",
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "heavy: needs minutes or a program outside .venv")
    config.addinivalue_line("markers", "slow: heavy, and takes most of its time to wait or repeat")
    if config.option.markexpr == NOT_HEAVY and not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="no-programs-"))
        for name in PROGRAMS:
            script = folder / name
            script.write_text(f"#!/bin/sh\necho 'make test must not run {name}' >&2\nexit 127\n")
            script.chmod(0o755)
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        config.add_cleanup(lambda: shutil.rmtree(folder))


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    used: set[str] = set()
    for item in items:
        reasons = why_heavy(item)
        if reasons:
            item.add_marker(pytest.mark.heavy)
        slow = _matching(item, SLOW)
        if slow:
            item.add_marker(pytest.mark.slow)
        used.update(reasons, slow)
    unused = (FIXTURES.keys() | TESTS.keys() | SLOW.keys()) - used
    whole = config.args == config.getini("testpaths") and not config.option.ignore
    if unused and whole:
        raise pytest.UsageError(f"tests/selection.py: no test has {', '.join(sorted(unused))}")


def why_heavy(item: pytest.Item) -> set[str]:
    """Return the fixtures, patterns and reasons that make a test heavy."""
    skips = {str(mark.kwargs.get("reason", "")) for mark in item.iter_markers("skipif")}
    return {
        *(fixture for fixture in FIXTURES if fixture in getattr(item, "fixturenames", ())),
        *_matching(item, TESTS),
        *(reason for reason in skips if reason.startswith("needs ")),
    }


def _matching(item: pytest.Item, patterns: Iterable[str]) -> set[str]:
    name = item.nodeid.removeprefix("tests/")
    return {pattern for pattern in patterns if fnmatch(name, pattern)}
