"""Train a first champion, in a clone of this repository, into the registry of the cluster."""

import shutil
from contextlib import chdir
from pathlib import Path

from components.io import registry
from tools.cluster.steps import PRESENT
from tools.cluster.versions import ROOT
from tools.commands import run

NAME = "sentiment"


def ensure(project: Path) -> str:
    """Run the stages up to the promotion, unless the registry of the environment has a champion.

    The clone shares DVC's cache with this checkout: what was trained here, or by an interrupted
    run, is not trained again.
    """
    with registry.connected(create=True) as client:
        version = registry.alias_version(client, NAME, registry.CHAMPION)
        if version is not None:
            return f"{PRESENT}, version {version.version}"
    shutil.rmtree(project, ignore_errors=True)
    run("git", "clone", "--quiet", str(ROOT), str(project))
    with chdir(project):
        run("dvc", "cache", "dir", "--local", str(ROOT / ".dvc/cache"))
        # the clone's own modules, whatever this process was started with
        run("dvc", "repro", PYTHONPATH=str(project))
    return "trained and registered"
