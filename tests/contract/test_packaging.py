"""setup.cfg, its locks, the Dockerfiles and the compiled pipelines fit each other."""

import configparser
import re
import subprocess

import pytest
import yaml
from packaging.requirements import Requirement

from pipelines import ir
from tests.conftest import REPO

CONFIG = configparser.ConfigParser()
CONFIG.read(REPO / "setup.cfg")
EXTRAS = CONFIG["options.extras_require"]
DOCKERFILES = sorted(REPO.glob("Dockerfile.*"))
BASE = r"docker\.io/library/python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}"


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_lock_fits_its_extra(extra: str):
    lock = (REPO / "requirements" / f"{extra}.txt").read_text()
    locked = dict(re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==(\S+)", lock, re.MULTILINE))
    lines = (CONFIG["options"]["install_requires"] + EXTRAS[extra]).splitlines()
    for line in filter(None, lines):
        requirement = Requirement(line)
        version = locked[requirement.name.lower()]
        assert requirement.specifier.contains(version), f"{line}: run make lock"
    assert lock.count("==") <= lock.count("--hash="), "a package without a hash"
    assert "://" not in lock


def test_locks_agree_on_versions():
    """Images, tests and benchmarks run the same versions of what they share."""
    locks = {extra: (REPO / "requirements" / f"{extra}.txt").read_text() for extra in EXTRAS}
    pins = {extra: set(re.findall(r"^\S+==\S+", text, re.M)) for extra, text in locks.items()}
    versions = dict(pin.split("==") for pin in pins["dev"])
    for extra in set(EXTRAS) - {"dev"}:
        for name, version in (pin.split("==") for pin in pins[extra]):
            assert versions.get(name, version) == version, f"{extra}: {name}"


def test_compiled_pipelines_name_this_version():
    image = f"localhost/sentiment-train:{CONFIG['metadata']['version']}"
    for name in ("training", "monitoring"):
        assert ir.images(ir.load(name)) == [image], "run make compile"


def test_the_changelog_has_this_version():
    changelog = (REPO / "CHANGELOG.md").read_text()
    assert f"\n## [{CONFIG['metadata']['version']}]" in changelog


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_pins_its_base(path):
    """Dependabot reads a literal FROM only; a build replaces the stage ``base`` by a context."""
    first, *others = re.findall(r"^FROM (.*)$", path.read_text(), re.MULTILINE)
    assert re.fullmatch(f"{BASE} AS base", first)
    assert others == ["base AS build", "base"]


def test_dockerfiles_share_one_base():
    assert len(DOCKERFILES) == 3
    assert len({re.search(BASE, path.read_text())[0] for path in DOCKERFILES}) == 1


def test_the_build_context_has_what_is_copied():
    text = "\n".join(path.read_text() for path in DOCKERFILES)
    copied = {path.split("/")[0] for path in re.findall(r"^COPY ([\w/.]+) ", text, re.MULTILINE)}
    lines = (REPO / ".dockerignore").read_text().splitlines()
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def test_dependabot_sees_every_lock():
    """It reads a directory and those one level below, and no file above 500,000 bytes."""
    config = yaml.safe_load((REPO / ".github/dependabot.yml").read_text())
    (pip,) = [each for each in config["updates"] if each["package-ecosystem"] == "pip"]
    seen = [REPO / directory.strip("/") for directory in pip["directories"]]
    locks = [path for path in REPO.glob("**/requirements/*.txt") if ".venv" not in path.parts]
    assert len(locks) > 10
    for lock in locks:
        assert lock.parent in seen or lock.parent.parent in seen, lock
        assert lock.stat().st_size < 500_000, lock


def test_a_crlf_clone_has_lf(tmp_path):
    """Git for Windows sets core.autocrlf; the digests in dvc.lock are those of LF."""
    subprocess.run(
        ["git", "-c", "core.autocrlf=true", "clone", "-q", str(REPO), str(tmp_path / "clone")],
        check=True,
    )
    listed = subprocess.run(
        ["git", "-c", "core.autocrlf=true", "ls-files", "--eol"],
        cwd=tmp_path / "clone",
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert len(listed) > 300
    as_recorded = [line for line in listed if "attr/-text" in line]
    assert all("\ttests/recordings/" in line for line in as_recorded)
    others = [line for line in listed if line not in as_recorded]
    assert [line for line in others if "w/crlf" in line or "w/mixed" in line] == []
