"""Find the programs that a cluster is set up with, and build kind and helm at their versions."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from components.errors import UserError
from tools.cluster.versions import Versions
from tools.commands import run


def use_built(folder: Path) -> None:
    """Put the programs that were built here before all others, for this process."""
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def find_engine() -> str:
    """Return docker, or podman where there is no docker: kind was made for docker."""
    return next((name for name in ("docker", "podman") if shutil.which(name)), "docker")


def require(names: Sequence[str]) -> None:
    """Check that programs are installed.

    Raises:
        UserError: some are not; the message names them all.
    """
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        raise UserError(
            f"not installed: {', '.join(missing)}; kind and helm: make cluster-programs (needs Go);"
            " kubectl, git and podman, on Debian: make packages"
        )


def build(versions: Versions, folder: Path) -> None:
    """Build the programs with Go, which checks their sources against its checksum database."""
    require(["go"])
    folder.mkdir(parents=True, exist_ok=True)
    for package in versions.programs.values():
        run("go", "install", package, GOBIN=str(folder))
