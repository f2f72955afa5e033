"""A browser, clones in which the README's commands run, and images that `make images` builds."""

import configparser
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser import CHROMIUM, FLAGS
from tests.conftest import REPO
from tests.serving import Server
from tools import base_image
from tools.build_images import IMAGES

LOCAL_BASE = "localhost/python-base:3.11"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """Open the page of a server, the module's own by default, in a context of its own.

    Fail the test at an error, a dialog or a request to another host.
    """
    problems: list[str] = []

    def check_host(url: str, address: str) -> None:
        if not url.startswith((f"{address}/", f"blob:{address}/")):
            problems.append(f"request to {url}")

    with ExitStack() as contexts:

        def open_page(of: Server = server, **options: Any) -> Page:
            page = contexts.enter_context(browser.new_context(**options)).new_page()
            page.on("console", lambda message: problems.append(message.text))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("dialog", lambda dialog: problems.append(dialog.message))
            page.on("request", lambda request: check_host(request.url, of.address))
            page.add_init_script(
                "document.addEventListener('securitypolicyviolation',"
                " (event) => console.error(`policy: ${event.violatedDirective}`))"
            )
            page.goto(of.address)
            return page

        yield open_page
    assert problems == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


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
