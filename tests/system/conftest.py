"""Clones in which the README's commands run, and the images that `make images` builds."""

import configparser
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import REPO
from tools import base_image
from tools.build_images import IMAGES

LOCAL_BASE = "localhost/python-base:3.11"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def clone(directory: Path) -> Path:
    subprocess.run(["git", "clone", "-q", str(REPO), str(directory)], check=True)
    return directory


def environment(home: Path) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    # nothing of the tracking server around us, nor of the `make test` that we run under
    alien = ("MLFLOW_", "MAKE", "MFLAGS")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(alien)}
    return kept | {"PATH": PATH, "HOME": str(home), "PYTHONPATH": ""}


def run(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=directory,
        env=environment(directory.parent / "home"),
        capture_output=True,
        text=True,
        timeout=900,
    )


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The clone in which the demo ran, and what it printed."""
    directory = clone(tmp_path_factory.mktemp("demo") / "project")
    recipe = run(["make", "--dry-run", "demo", "PYTHON=python"], directory).stdout
    assert recipe.splitlines()[-1] == "python -m tools.demo"
    result = run([sys.executable, "-m", "tools.demo"], directory)
    assert result.returncode == 0, result.stdout + result.stderr
    return directory, result.stdout


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """The images, built as the README says, by short name."""
    missing = [name for name in ("podman", "mmdebstrap", "runc") if not shutil.which(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: make packages")
    base = local_base()
    with (Path(tempfile.gettempdir()) / "sentiment-test-images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process of xdist builds, the others wait for it
        if base and subprocess.run(["podman", "image", "exists", base]).returncode:
            _make("base")
        _make("images", f"BASE={base}")
    settings = configparser.ConfigParser()
    settings.read(REPO / "setup.cfg")
    version = settings["metadata"]["version"]
    return {name: f"localhost/sentiment-{name}:{version}" for name in IMAGES}


def local_base() -> str:
    """Return the base to make here, or nothing for the official one.

    GitHub's Ubuntu has no source of Debian's packages, and reaches the official image.
    """
    return LOCAL_BASE if base_image.mirror() else ""


def _make(*arguments: str) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    result = subprocess.run(
        ["make", *arguments], cwd=REPO, env=kept, capture_output=True, text=True, timeout=1200
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
